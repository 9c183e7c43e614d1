//! An S3 server that speaks one dialect, over memory, for programs that are no tests: `dialect_server passes_over`.
//!
//! It prints `ENDPOINT BUCKET`, and ends when its standard input does, and so with whoever started it.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use cloudmount_store::MemoryStore;
use cloudmount_testkit::s3_server::BUCKET;
use cloudmount_testkit::{Dialect, S3Server};
use cloudmount_vfs::SystemClock;

fn main() -> Result<(), Box<dyn Error>> {
    let asked = std::env::args().nth(1).unwrap_or_default();
    let names = Dialect::ALL.map(Dialect::name).join(", ");
    let dialect = (Dialect::ALL.into_iter())
        .find(|dialect| dialect.name() == asked)
        .ok_or_else(|| format!("{asked:?} is no dialect: {names}"))?;
    let clock = Arc::new(SystemClock::new());
    let bucket = Arc::new(MemoryStore::new(Arc::clone(&clock) as _));
    let server = S3Server::start(bucket, dialect, clock)?;
    let mut out = std::io::stdout();
    writeln!(out, "{} {BUCKET}", server.endpoint())?;
    out.flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
