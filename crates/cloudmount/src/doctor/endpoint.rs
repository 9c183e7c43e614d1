//! The way to the endpoint: its name, the connection, TLS, and whose clock is right.

use std::sync::Arc;

use cloudmount_store::S3Settings;
use cloudmount_store::reach::{Distrust, Obstacle, Reach, reach};
use cloudmount_vfs::Clock;

use super::Finding;

/// More seconds apart than clocks that are set by the network are.
const APART_NOTED: u64 = 60;

/// More than this, and requests that are dated by it are refused ("Amazon S3 API reference", error
/// `RequestTimeTooSkewed`: 15 minutes); less than that, for others are stricter.
const APART_REFUSED: u64 = 300;

/// Goes there.
pub(super) async fn look(
    bucket: &str,
    settings: &S3Settings,
    clock: &Arc<dyn Clock>,
) -> Vec<Finding> {
    match reach(bucket, settings, Arc::clone(clock)).await {
        Ok(reach) => findings(&reach),
        Err(error) => vec![
            Finding::fail("endpoint", error.to_string())
                .or("write it as https://s3.example.com or https://host:9000"),
        ],
    }
}

fn findings(reach: &Reach) -> Vec<Finding> {
    let Reach { origin, host, .. } = reach;
    let mut found = Vec::new();
    if let Some(Obstacle::Name(why)) = &reach.obstacle {
        let finding = Finding::fail("name", format!("the name {host} has no address: {why}"));
        found.push(
            finding.or("check the endpoint (--endpoint), and the name server of this machine"),
        );
        return found;
    }
    let addresses: Vec<_> = (reach.addresses.iter())
        .map(|address| address.ip().to_string())
        .collect();
    found.push(Finding::ok(
        "name",
        format!("{host} is {}", addresses.join(", ")),
    ));
    if let Some(Obstacle::Tcp(why)) = &reach.obstacle {
        let finding = Finding::fail("connection", format!("nobody answers at {origin}: {why}"));
        found.push(finding.or(
            "check the port of the endpoint (--endpoint), that the server runs, and the firewall",
        ));
        return found;
    }
    found.push(Finding::ok(
        "connection",
        format!("{origin} takes connections"),
    ));
    found.push(line(reach));
    if let Some(seconds) = reach.ahead_secs {
        found.push(skew(seconds));
    }
    found
}

/// What is spoken on the line.
fn line(reach: &Reach) -> Finding {
    let Reach { origin, host, .. } = reach;
    match &reach.obstacle {
        Some(Obstacle::Tls(why)) => Finding::fail("tls", format!("no TLS with {host}: {why}"))
            .or("check the port of the endpoint (--endpoint), and that its server speaks TLS 1.2 or 1.3"),
        Some(Obstacle::Certificate(distrust, why)) => {
            Finding::fail("tls", format!("no TLS with {host}: {why}")).or(trusted_again(*distrust))
        }
        Some(Obstacle::OnlyPlain) => Finding::fail("tls", format!("{origin} speaks plain http, not TLS"))
            .or("write http:// in the endpoint, or give the port of its TLS"),
        Some(Obstacle::OnlyTls) => Finding::fail("tls", format!("{origin} speaks TLS, not plain http"))
            .or("write https:// in the endpoint"),
        Some(other) => Finding::fail("answer", format!("{origin} gives no answer of HTTP: {}", text(other)))
            .or("check the port of the endpoint (--endpoint): something else listens there"),
        None if origin.starts_with("https://") => Finding::ok("tls", format!("{host} has a certificate that is trusted")),
        None => Finding::ok("tls", "none: the endpoint is plain http"),
    }
}

/// What to do about a certificate.
fn trusted_again(distrust: Distrust) -> &'static str {
    match distrust {
        Distrust::Name => {
            "the certificate is that of another name: check the name in the endpoint (--endpoint); where the bucket has dots in its name, \
             ask for it in the path of addresses (--path-style always)"
        }
        Distrust::Expired => {
            "the certificate has expired, and whoever runs the server must renew it; or the clock of this machine is ahead: timedatectl"
        }
        Distrust::NotYet => {
            "the certificate is not valid yet: the clock of this machine is behind, or that of whoever made it ahead: timedatectl"
        }
        _ => "if its certificate is of an authority of your own, name that in AWS_CA_BUNDLE",
    }
}

fn text(obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::Name(why)
        | Obstacle::Tcp(why)
        | Obstacle::Tls(why)
        | Obstacle::Certificate(_, why)
        | Obstacle::Answer(why) => why.clone(),
        other => format!("{other:?}"),
    }
}

/// Whose clock is right is not known; that of a service mostly is.
fn skew(ahead_secs: i64) -> Finding {
    let apart = ahead_secs.unsigned_abs();
    let (minutes, seconds) = (apart / 60, apart % 60);
    let way = if ahead_secs > 0 { "behind" } else { "ahead of" };
    let found = format!("this machine's clock is {minutes} min {seconds} s {way} the server's");
    let remedy = "set the clock of this machine: timedatectl set-ntp true";
    if apart > APART_REFUSED {
        Finding::warn(
            "clock",
            format!("{found}: requests are dated by the server's, and times of files differ"),
        )
        .or(remedy)
    } else if apart > APART_NOTED {
        Finding::warn("clock", found).or(remedy)
    } else {
        Finding::ok(
            "clock",
            format!("within {} s of the server's", apart.max(1)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn clocks() {
        for (ahead, verdict, words) in [
            (0, Verdict::Ok, "within 1 s"),
            (-59, Verdict::Ok, "within 59 s"),
            (61, Verdict::Warn, "1 min 1 s behind the server's"),
            (
                -3600,
                Verdict::Warn,
                "60 min 0 s ahead of the server's: requests",
            ),
            (
                3600,
                Verdict::Warn,
                "60 min 0 s behind the server's: requests",
            ),
        ] {
            let found = skew(ahead);
            assert_eq!(found.verdict, verdict, "{found:?}");
            assert!(found.found.contains(words), "{found:?}");
        }
    }
}
