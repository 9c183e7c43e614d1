//! `cargo xtask servers`: S3 servers to try things on by hand, until they are interrupted; on demand behind a
//! slow link, or with faults.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::proxy::{Counts, Link, Plan, Proxy, Rule};
use crate::say::say;
use crate::server::{Kind, Server};
use crate::time::pause;

/// How often it is looked whether all are alive.
const LOOK: Duration = Duration::from_millis(300);
/// Counts of proxies are told after so many looks, if they moved.
const TELL: u32 = 10;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Which ones
    #[arg(value_enum, default_values = ["moto", "rclone"])]
    kinds: Vec<Kind>,
    /// Put a proxy before each, which counts requests; the options below do, too
    #[arg(long)]
    proxy: bool,
    /// Milliseconds added to each answer, and to each new connection
    #[arg(long, value_name = "MS", default_value = "0")]
    rtt: u64,
    /// Bytes a second of one connection in one direction, as 80MB
    #[arg(long, value_name = "RATE", value_parser = rate)]
    per_connection: Option<u64>,
    /// Bytes a second of all connections together in one direction, as 20MB
    #[arg(long, value_name = "RATE", value_parser = rate)]
    in_total: Option<u64>,
    /// Make requests fail: KINDS:WHEN:FAULT, as put+complete:3%:lost or part:#5:503; KINDS may be all, FAULT is
    /// 500, 503, 503+SECONDS, hang, reset-request, reset-reply, lost, late or delay=NUMBERms
    #[arg(long, value_name = "RULE")]
    fault: Vec<Rule>,
    /// Chooses which requests a percentage hits
    #[arg(long, default_value = "1")]
    seed: u64,
}

impl Arguments {
    fn link(&self) -> Link {
        Link {
            round_trip: Duration::from_millis(self.rtt),
            per_connection: self.per_connection,
            in_total: self.in_total,
        }
    }

    fn proxy(&self, server: &Server) -> Result<Option<Proxy>> {
        if !self.proxy && self.link() == Link::default() && self.fault.is_empty() {
            return Ok(None);
        }
        let plan = Plan {
            seed: self.seed,
            rules: self.fault.clone(),
        };
        Proxy::start(&server.endpoint, self.link(), plan).map(Some)
    }
}

/// A server, and what stands before it.
struct Shown {
    server: Server,
    proxy: Option<Proxy>,
    told: Counts,
}

/// Starts them, prints what programs must be told to use them, and stays.
///
/// # Errors
/// One cannot be installed or started, or ends by itself.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut all = Vec::new();
    for kind in &arguments.kinds {
        let server = Server::start(*kind)?;
        let proxy = arguments.proxy(&server)?;
        say!("{}", introduction(&server, proxy.as_ref()));
        all.push(Shown {
            server,
            proxy,
            told: Counts::default(),
        });
    }
    say!("# they stay until Ctrl-C");
    for look in 1_u32.. {
        for shown in &mut all {
            shown.server.alive()?;
            if look % TELL == 0 {
                shown.tell();
            }
        }
        pause(LOOK);
    }
    Ok(())
}

impl Shown {
    /// Says what passed the proxy since it was said last.
    fn tell(&mut self) {
        if let Some(proxy) = &self.proxy {
            let counts = proxy.counts();
            if counts != self.told {
                let passed = counts.since(&self.told);
                say!("# {}: {passed}", self.server.kind.name());
                self.told = counts;
            }
        }
    }
}

/// Lines for a shell.
fn introduction(server: &Server, proxy: Option<&Proxy>) -> String {
    let endpoint = proxy.map_or_else(|| server.endpoint.clone(), Proxy::endpoint);
    let mut lines = vec![format!("# {}", server.kind.name())];
    let mut export = |name: &str, value: &str| lines.push(format!("export {name}='{value}'"));
    for (name, value) in server.environment_at(&endpoint) {
        export(&name, &value);
    }
    export("XTASK_BUCKET", server.bucket);
    export("CLOUDMOUNT_TEST_S3", &server.for_store_tests(&endpoint));
    lines.join("\n")
}

/// Bytes a second, as `80MB` (of 1000) or `64KiB`.
fn rate(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "B" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        other => bail!("{other} is no unit: B, KB, MB, KiB, MiB"),
    };
    let number: u64 = digits
        .parse()
        .with_context(|| format!("{text}: write a number and a unit, as 80MB"))?;
    match number.checked_mul(unit) {
        Some(rate @ 1..) => Ok(rate),
        _ => bail!("{text}: from 1 B on"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_with_their_units() {
        assert_eq!(rate("80MB").unwrap(), 80_000_000);
        assert_eq!(rate("64KiB").unwrap(), 65_536);
        assert_eq!(rate("7").unwrap(), 7);
        for wrong in ["", "MB", "0", "3GB", "-1KB", "99999999999999MB"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
