//! A name server for one address: what it says can be changed at any time (RFC 1035).
//!
//! It listens at the addresses that this machine's `/etc/resolv.conf` names, on a side of a [`Network`](crate::network)
//! that has nobody else there: so programs on that side ask it, and need not be told.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::network::Side;

/// Where questions come (RFC 1035, 4.2).
const PORT: u16 = 53;
/// How often it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);
/// A question over UDP is no longer (RFC 1035, 2.3.4), but for what extensions add.
const QUESTION_BYTES: usize = 4096;
/// The head of a message (RFC 1035, 4.1.1).
const HEAD_BYTES: usize = 12;
/// The type of an address (RFC 1035, 3.2.2).
const TYPE_A: [u8; 2] = [0, 1];
/// Response codes (RFC 1035, 4.1.1).
const SERVER_FAILURE: u8 = 2;
const NAME_ERROR: u8 = 3;

/// What is answered, whatever name is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Says {
    /// That address, which may not be kept.
    Address(Ipv4Addr),
    /// That it does not work.
    Fails,
    /// That there is no such name.
    NoSuchName,
    /// Nothing at all.
    Nothing,
}

/// One that runs.
#[derive(Debug)]
pub(crate) struct Names {
    says: Arc<Mutex<Says>>,
    stopping: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Names {
    /// Starts one on `side`.
    ///
    /// # Errors
    /// The addresses cannot be had there.
    pub(crate) fn start(side: &Side, says: Says) -> Result<Self> {
        let mut names = Self {
            says: Arc::new(Mutex::new(says)),
            stopping: Arc::default(),
            threads: Vec::new(),
        };
        let conf = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        for address in servers(&conf) {
            if !address.is_loopback() {
                side.ip(&format!("address add {address} dev lo"))?;
            }
            let socket = side.inside(|| {
                UdpSocket::bind((address, PORT)).with_context(|| format!("listening at {address}"))
            })?;
            socket.set_read_timeout(Some(LOOK))?;
            let (says, stopping) = (Arc::clone(&names.says), Arc::clone(&names.stopping));
            let thread = std::thread::Builder::new()
                .name("names".into())
                .spawn(move || serve(&socket, &says, &stopping))?;
            names.threads.push(thread);
        }
        Ok(names)
    }

    /// From now on it says that.
    pub(crate) fn say(&self, says: Says) {
        *self.says.lock().unwrap_or_else(PoisonError::into_inner) = says;
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

/// The servers that programs ask (resolv.conf(5)); without any, this machine.
fn servers(conf: &str) -> Vec<IpAddr> {
    let named = conf
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .filter_map(|rest| rest.trim().parse().ok());
    let all: Vec<IpAddr> = named.collect();
    match all.is_empty() {
        true => vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        false => all,
    }
}

fn serve(socket: &UdpSocket, says: &Mutex<Says>, stopping: &AtomicBool) {
    let mut question = [0; QUESTION_BYTES];
    while !stopping.load(Ordering::SeqCst) {
        let Ok((length, from)) = socket.recv_from(&mut question) else {
            continue;
        };
        let says = *says.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = question.get(..length).and_then(|asked| answer(asked, says)) {
            // Who asked may be gone.
            drop(socket.send_to(&answer, from));
        }
    }
}

/// The answer to a question; `None` if there is none.
fn answer(asked: &[u8], says: Says) -> Option<Vec<u8>> {
    let id = asked.get(..2)?;
    let name_bytes = asked
        .get(HEAD_BYTES..)?
        .iter()
        .position(|byte| *byte == 0)?
        + 1;
    let question = asked.get(HEAD_BYTES..HEAD_BYTES + name_bytes + 4)?;
    let is_address = question.get(name_bytes..name_bytes + 2)? == TYPE_A;
    let (code, address) = match says {
        Says::Nothing => return None,
        Says::Fails => (SERVER_FAILURE, None),
        Says::NoSuchName => (NAME_ERROR, None),
        // Of other types there is nothing, which is no error.
        Says::Address(address) => (0, is_address.then_some(address)),
    };
    let mut answer = id.to_vec();
    // An answer, recursion desired and available; one question, and no records but the answer's.
    answer.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(address.is_some())]);
    answer.extend([0; 4]);
    answer.extend(question);
    if let Some(address) = address {
        // The name of the question, an address of the internet, for no time, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A question for the address of `a.test`.
    const ASKED: &[u8] =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x04test\x00\x00\x01\x00\x01";

    #[test]
    fn an_address_is_told_and_other_types_are_empty() {
        let says = Says::Address(Ipv4Addr::new(192, 0, 2, 7));
        let told = answer(ASKED, says).unwrap();
        assert_eq!(&told[..8], b"\x12\x34\x81\x80\x00\x01\x00\x01");
        assert_eq!(&told[HEAD_BYTES..ASKED.len()], &ASKED[HEAD_BYTES..]);
        assert!(told.ends_with(&[0, 4, 192, 0, 2, 7]), "{told:?}");
        let mut other = ASKED.to_vec();
        let at = other.len() - 3;
        other[at] = 28;
        let told = answer(&other, says).unwrap();
        assert_eq!(&told[2..8], b"\x81\x80\x00\x01\x00\x00");
    }

    #[test]
    fn a_failure_is_told_as_one() {
        for (says, code) in [(Says::Fails, 0x82), (Says::NoSuchName, 0x83)] {
            assert_eq!(answer(ASKED, says).unwrap()[3], code);
        }
        assert_eq!(answer(ASKED, Says::Nothing), None);
        assert_eq!(answer(&ASKED[..15], Says::Fails), None, "cut off");
    }

    #[test]
    fn servers_are_read_as_programs_read_them() {
        let conf = "search x\nnameserver 192.0.2.53\n nameserver ::1\n#nameserver 192.0.2.9\n";
        let expected: [IpAddr; 2] = ["192.0.2.53".parse().unwrap(), "::1".parse().unwrap()];
        assert_eq!(servers(conf), expected);
        assert_eq!(servers(""), [IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    }
}
