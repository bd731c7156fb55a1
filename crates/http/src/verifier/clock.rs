use doorward_domain::{Clock, Timestamp};
use time::OffsetDateTime;

/// The system's clock.
pub(super) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the adapter that the port is for")]
    fn now(&self) -> Timestamp {
        OffsetDateTime::now_utc().into()
    }
}
