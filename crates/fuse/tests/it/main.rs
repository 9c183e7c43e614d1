//! The adapter on the real `/dev/fuse`: each scenario with operations that are ready at once and
//! with operations that pend, so both ways of answering are covered.

#[cfg(test)]
mod coherence;
#[cfg(test)]
mod files;
#[cfg(test)]
mod indexers;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod life;
#[cfg(test)]
mod mapping;
#[cfg(test)]
mod mounted;
#[cfg(test)]
mod names;
#[cfg(test)]
mod passthrough;
#[cfg(test)]
mod probe;
#[cfg(test)]
mod replaced;
