//! Who asks.

/// The caller of one operation, as the kernel tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Context {
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// Process id, or 0 when unknown.
    pub pid: u32,
}

impl Context {
    /// The superuser, with no process: for embedders that do no permission checks of their own.
    pub const ROOT: Self = Self {
        uid: 0,
        gid: 0,
        pid: 0,
    };
}
