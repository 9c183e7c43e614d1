//! One HTTP/1.1 client for every remote store: pooled connections, one TLS stack, and limits on
//! waiting that a stalled server cannot outlast.
//!
//! Laws: the path of a request goes out byte for byte as it was given (a URL library would resolve
//! `a/../b` and so name another object); no request is sent twice from here, except where hyper
//! knows that a pooled connection was closed before the first byte; no redirect is followed; no
//! proxy is used; time comes from the [`Clock`](cloudmount_vfs::Clock).
//!
//! A request must be awaited within a tokio runtime that has I/O and time enabled.

mod body;
mod client;
mod connector;
mod failure;
mod patience;
mod tls;

pub(crate) use body::{RequestBody, ResponseBody};
pub(crate) use client::HttpClient;
pub(crate) use connector::Connector;
pub(crate) use failure::Failure;
pub(crate) use patience::Patience;
