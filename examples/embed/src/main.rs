//! The library in an application: a bucket's files by path, without a mount.
//!
//! `cargo run -p cloudmount-embed -- memory:`, or with `file:///FOLDER`.

use cloudmount::CloudMount;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let location = std::env::args().nth(1).unwrap_or_else(|| "memory:".into());
    let files = CloudMount::builder(location).open().await?;
    files.write("notes/today.txt", b"hello, bucket").await?;
    files
        .rename("notes/today.txt", "notes/yesterday.txt")
        .await?;
    let text = files.read("notes/yesterday.txt").await?;
    assert_eq!(text, "hello, bucket");
    for entry in files.list("notes").await? {
        let line = format!("{}: {} bytes\n", entry.name, entry.metadata.size);
        std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes())?;
    }
    let closed = files.close().await;
    if closed.is_complete() {
        Ok(())
    } else {
        Err(format!("not uploaded: {:?}", closed.remaining).into())
    }
}
