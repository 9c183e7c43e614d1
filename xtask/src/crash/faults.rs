//! What goes wrong between the daemon and its server, when it is asked for.

use anyhow::Result;

use crate::conformance::backend::Backend;
use crate::proxy::{Link, Plan, Proxy};

/// Each of these is met some times in a run, and all together rarely twice by one request and its next tries:
/// the store tries for a minute. What comes late is left out: a server that checks no conditions would take it.
const RULES: &[&str] = &[
    "put+part:2%:reset-request",
    "put+copy+create+part+part-copy+complete+abort+delete+multi-delete:3%:lost",
    "put+copy+complete+delete+multi-delete:0.3%:hang",
    "get+list+head:1%:reset-reply",
    "all:2%:500",
    "all:1%:503",
    "all:0.5%:503+1",
    "all:3%:delay=250ms",
];

/// Puts a proxy that makes faults before the server of `backend`; its programs go by it from now on. `None`: the
/// bucket has no server that was started here.
///
/// # Errors
/// It cannot be started.
pub(super) fn start(backend: &mut Backend, seed: u64) -> Result<Option<Proxy>> {
    let Some(endpoint) = backend.endpoint() else {
        return Ok(None);
    };
    let rules = RULES
        .iter()
        .map(|rule| rule.parse())
        .collect::<Result<_>>()?;
    let proxy = Proxy::start(endpoint, Link::default(), Plan { seed, rules })?;
    backend.go_by(&proxy.endpoint());
    Ok(Some(proxy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::Rule;

    #[test]
    fn all_rules_can_be_read() {
        for rule in RULES {
            rule.parse::<Rule>().unwrap();
        }
    }
}
