//! [`Rare`]: what most have the default of.

/// A value that takes eight bytes while it is the default.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rare<T>(Option<Box<T>>);

impl<T: Clone + Default + PartialEq> Rare<T> {
    /// The value.
    #[must_use]
    pub fn get(&self) -> T {
        self.0.as_deref().cloned().unwrap_or_default()
    }

    /// Puts another value.
    pub fn set(&mut self, value: T) {
        self.0 = (value != T::default()).then(|| Box::new(value));
    }
}
