use crate::UserId;

/// The proof that a verified access token named this user, who may therefore reach what that user owns.
///
/// Repositories of owned data take one in every method, so a query without an owner cannot be written. Only the
/// verification of a token gives one, as `CurrentUser::scope` in `doorward-auth`.
pub type OwnerScope = doorward_scope::OwnerScope<UserId>;
