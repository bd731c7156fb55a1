use doorward_domain::User;
use doorward_domain::store::MockUnit;

use super::{Setup, USER_ID, VERSION, attempting, credential, user};
use crate::RegistrationMode;
use crate::password::Verification;

/// What the user of the tests gives for their password.
pub(crate) const GIVEN: &str = "the password so far";

/// A service that finds this of the password that the user gives.
pub(crate) fn checking(found: Verification) -> Setup {
    let mut setup = Setup::new(RegistrationMode::Verified);
    let mut unit = MockUnit::default();
    let find = unit.users.expect_find().times(1);
    find.withf(|id| *id == USER_ID).returning(|_| Ok(Some(user())));
    let find = unit.credentials.expect_find().times(1);
    find.withf(|id| *id == USER_ID).returning(|_| Ok(Some(credential())));
    setup.store.plan_read(unit);
    setup.store.plan_write(attempting());
    if found != Verification::Wrong {
        // The right password has wrong ones counted from the start.
        setup.store.plan_write(attempting());
    }
    setup.hasher.expect_verify().times(1).returning(move |given, _| {
        assert_eq!(given.expose(), GIVEN);
        Ok(found.clone())
    });
    setup
}

/// A service in which the password that the user gives is the right one.
pub(crate) fn proven() -> Setup {
    checking(Verification::Right { upgraded: None })
}

/// A unit in which the password is still what it was, provided that there is a user.
pub(crate) fn holding_checked(user: Option<User>) -> MockUnit {
    let mut unit = MockUnit::default();
    let hold = unit.credentials.expect_hold().times(1);
    hold.withf(|id, version| (*id, *version) == (USER_ID, VERSION)).returning(move |_, _| Ok(user.clone()));
    unit
}
