//! What befalls packets, addresses and the cable: rules of `nft(8)` on the server's side, and `ip(8)` on both.

use std::net::Ipv4Addr;

use anyhow::Result;

use crate::network::{Network, Side};

/// Where the server, or this machine, is found afterwards if its address changes.
pub(super) const SECOND: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 6);

/// One step of a cut.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// These rules at the server's side of the cable, `;` between, in the chains `in` and `out`.
    Rules(&'static [&'static str]),
    /// No rules any more.
    NoRules,
    /// `ip` on the server's side.
    Server(&'static str),
    /// `ip` on the client's side.
    Client(&'static str),
}

/// How the way to the server is cut.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) name: &'static str,
    begin: &'static [Step],
    /// Nothing where it never passes.
    end: &'static [Step],
}

/// What connections begin with is marked from now on; what has no mark was there before.
const MARK_NEW: &str = "in tcp flags & (syn | ack) == syn ct mark set 1";

pub(super) const DROPPED: Cut = Cut {
    name: "packets dropped",
    begin: &[Step::Rules(&["in drop", "out drop"])],
    end: &[Step::NoRules],
};

pub(super) const MOVED_HERE: Cut = Cut {
    name: "this machine's address changed, for good",
    begin: &[
        Step::Client("address del 192.0.2.1/24 dev cable"),
        Step::Client("address add 192.0.2.6/24 dev cable"),
    ],
    end: &[],
};

pub(super) const ALL: &[Cut] = &[
    DROPPED,
    Cut {
        name: "connections refused",
        begin: &[Step::Rules(&["in meta l4proto tcp reject with tcp reset"])],
        end: &[Step::NoRules],
    },
    Cut {
        name: "half-open: answers dropped",
        begin: &[Step::Rules(&["out drop"])],
        end: &[Step::NoRules],
    },
    Cut {
        name: "half of the packets lost",
        begin: &[Step::Rules(&[
            "in numgen random mod 2 == 0 drop",
            "out numgen random mod 2 == 0 drop",
        ])],
        end: &[Step::NoRules],
    },
    Cut {
        name: "connections forgotten, for good",
        begin: &[Step::Rules(&[
            MARK_NEW,
            "in ct mark != 1 drop",
            "out ct mark != 1 drop",
        ])],
        end: &[],
    },
    Cut {
        name: "the server's address is gone",
        begin: &[Step::Server("address del 192.0.2.2/24 dev cable")],
        end: &[Step::Server("address add 192.0.2.2/24 dev cable")],
    },
    Cut {
        name: "the server's link is down",
        begin: &[Step::Server("link set cable down")],
        end: &[Step::Server("link set cable up")],
    },
    Cut {
        name: "this machine's link is down",
        begin: &[Step::Client("link set cable down")],
        end: &[Step::Client("link set cable up")],
    },
    MOVED_HERE,
];

/// The connections that are there are refused when something comes on them; new ones pass.
pub(super) const REFUSED_OLD: Cut = Cut {
    name: "connections that were there refused",
    begin: &[Step::Rules(&[
        MARK_NEW,
        "in meta l4proto tcp ct mark != 1 reject with tcp reset",
    ])],
    end: &[],
};

/// The server is at its second address, and at no other.
pub(super) const MOVED: Cut = Cut {
    name: "the server moved",
    begin: &[
        Step::Server("address add 192.0.2.6/24 dev cable"),
        Step::Server("address del 192.0.2.2/24 dev cable"),
        // The second address went with the first, whose subnet it shares.
        Step::Server("address replace 192.0.2.6/24 dev cable"),
    ],
    end: &[],
};

impl Cut {
    /// Cuts.
    ///
    /// # Errors
    /// A tool says why.
    pub(super) fn begin(&self, network: &Network) -> Result<()> {
        self.begin.iter().try_for_each(|step| step.take(network))
    }

    /// Mends, if it passes at all.
    ///
    /// # Errors
    /// A tool says why.
    pub(super) fn end(&self, network: &Network) -> Result<()> {
        self.end.iter().try_for_each(|step| step.take(network))
    }
}

impl Step {
    fn take(self, network: &Network) -> Result<()> {
        match self {
            Self::Rules(rules) => hang(&network.server, rules),
            Self::NoRules => network.server.nft("delete table inet cut"),
            Self::Server(arguments) => network.server.ip(arguments),
            Self::Client(arguments) => network.client.ip(arguments),
        }
    }
}

/// Puts rules up, all at once. They take what goes through the cable alone: the server's own side stays whole.
fn hang(side: &Side, rules: &[&str]) -> Result<()> {
    let mut commands = "add table inet cut; \
         add chain inet cut in { type filter hook input priority 0; }; \
         add chain inet cut out { type filter hook output priority 0; }"
        .to_owned();
    for rule in rules {
        let (chain, rest) = rule.split_once(' ').unwrap_or((rule, ""));
        let cable = if chain == "in" { "iifname" } else { "oifname" };
        commands += &format!("; add rule inet cut {chain} {cable} cable {rest}");
    }
    side.nft(&commands)
}
