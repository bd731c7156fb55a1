/// What tells one challenge of a proof of work from every other one: 128 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProofId([u8; ProofId::LENGTH]);

impl ProofId {
    /// The length in bytes.
    pub const LENGTH: usize = 16;

    /// The bytes that were drawn or read.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// The bytes, for a database.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}
