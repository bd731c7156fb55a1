//! The proof that a verified access token named an owner.
//!
//! The type is for everybody, as `doorward_domain::OwnerScope`; what makes a value of it is the function [`vouch`], which
//! only a crate can call that depends on this one. In Doorward that is `doorward-auth`, where access tokens are
//! verified; elsewhere it is for the tests of a repository, as a dev-dependency. A test of Doorward's keeps it so.

/// A verified access token named this owner, `Id` being what owners are called.
///
/// Whoever holds one has checked the token. There is no way from an id to a scope but [`vouch`]:
///
/// ```compile_fail
/// let forged = doorward_scope::OwnerScope(7);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerScope<Id>(Id);

impl<Id: Copy> OwnerScope<Id> {
    /// Whose data may be reached.
    #[must_use]
    pub const fn owner(&self) -> Id {
        self.0
    }
}

/// Vouches that a verified access token named this owner.
///
/// Called with anything else, it opens everybody's data to whoever sends the request.
#[must_use]
pub const fn vouch<Id>(owner: Id) -> OwnerScope<Id> {
    OwnerScope(owner)
}
