//! `cloudmount-floor`: what a plain client does with the same HTTP stack, and how long that takes.
//!
//! The mount is measured against it. It uses the store without any of the layers, and knows nothing
//! of files, journals and queues: it sends and gets bytes, and looks at what others sent. `cargo xtask measure`
//! runs it; each answer is one line of JSON.
//!
//! ```text
//! cloudmount-floor BUCKET parts FILE KEY PART_BYTES IN_FLIGHT   one object in parts
//! cloudmount-floor BUCKET get KEY PART_BYTES IN_FLIGHT          one object in ranges
//! cloudmount-floor BUCKET ranges KEY BYTES COUNT                one range after the other, at random
//! cloudmount-floor BUCKET puts PREFIX COUNT BYTES IN_FLIGHT     many small objects
//! cloudmount-floor BUCKET files PREFIX COUNT BYTES IN_FLIGHT    the same with what a file has: if nothing
//!                                                               is there, with owner, mode and time
//! cloudmount-floor BUCKET fill PREFIX COUNT FOLDERS BYTES IN_FLIGHT   many objects to be listed
//! cloudmount-floor BUCKET see KEY BYTES                         waits until it is there
//! cloudmount-floor BUCKET list PREFIX                           what is there
//! cloudmount-floor BUCKET pages PREFIX                          the folder, one page after the other
//! cloudmount-floor BUCKET clear PREFIX                          removes it
//! ```
//!
//! The endpoint, the keys and the region are those of the `AWS_…` variables.

mod receive;
mod send;
mod view;

use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use cloudmount_store::{PutOptions, S3Credentials, S3Settings, S3Store, Secret, Store};
use cloudmount_vfs::{Clock, SystemClock};
use serde_json::Value;

/// What goes wrong is told and ends the program: nobody reacts to it.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What every command needs.
#[derive(Clone)]
struct Client {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that answers on its standard output"
)]
fn main() -> ExitCode {
    match run() {
        Ok(answer) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cloudmount-floor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<Value> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [bucket, words @ ..] = &*words else {
        return Err("say which bucket, and what to do".into());
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let client = Client {
        store: Arc::new(S3Store::new(bucket, &settings()?, Arc::clone(&clock))?),
        clock,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match words {
            ["parts", file, key, part_bytes, in_flight] => {
                let (part_bytes, in_flight) = (number(part_bytes)?, number(in_flight)?);
                send::parts(&client, file.as_ref(), key, part_bytes, in_flight).await
            }
            ["get", key, part_bytes, in_flight] => {
                let (part_bytes, in_flight) = (number(part_bytes)?, number(in_flight)?);
                receive::parts(&client, key, part_bytes, in_flight).await
            }
            ["ranges", key, bytes, count] => {
                receive::ranges(&client, key, number(bytes)?, number(count)?).await
            }
            ["puts", prefix, count, bytes, in_flight] => {
                let (count, bytes) = (number(count)?, number(bytes)?);
                let what = (*prefix, PutOptions::default());
                send::puts(&client, what, (count, bytes), number(in_flight)?).await
            }
            ["files", prefix, count, bytes, in_flight] => {
                let (count, bytes) = (number(count)?, number(bytes)?);
                let what = (*prefix, send::as_file());
                send::puts(&client, what, (count, bytes), number(in_flight)?).await
            }
            ["fill", prefix, count, folders, bytes, in_flight] => {
                let (count, folders) = (number(count)?, number(folders)?);
                let objects = (count, folders, number(bytes)?);
                send::fill(&client, prefix, objects, number(in_flight)?).await
            }
            ["see", key, bytes] => view::see(&client, key, number(bytes)?).await,
            ["list", prefix] => view::list(&client, prefix).await,
            ["pages", prefix] => view::pages(&client, prefix).await,
            ["clear", prefix] => view::clear(&client, prefix).await,
            other => Err(format!("what is {}?", other.join(" ")).into()),
        }
    })
}

/// Numbers that follow no pattern, the same ones for each seed (xorshift64, Marsaglia 2003).
fn number_stream(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    })
}

fn number<T: FromStr>(text: &str) -> Result<T> {
    text.parse()
        .map_err(|_| format!("{text} is no number that fits").into())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a program's entry may read its environment"
)]
fn settings() -> Result<S3Settings> {
    let of = |name: &str| std::env::var(name).map_err(|_| format!("set {name}"));
    Ok(S3Settings {
        endpoint: Some(of("AWS_ENDPOINT_URL")?),
        region: of("AWS_REGION")?,
        credentials: S3Credentials::Static {
            access_key: of("AWS_ACCESS_KEY_ID")?,
            secret_key: Secret::new(of("AWS_SECRET_ACCESS_KEY")?),
            session_token: None,
        },
        // It is for servers on this machine.
        allow_http: true,
        ..S3Settings::default()
    })
}
