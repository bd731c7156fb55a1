use std::time::{Duration, Instant};

use doorward_auth::DeliveryReport;

/// The pause after the first batch that found its receiver out of reach; it doubles with every further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause, and so how long it takes at most once it is back.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// What is known of whoever takes deliveries, a mail server or an endpoint for webhooks: while there is no connection to
/// it, one batch now and then finds out, instead of every batch that is due. Otherwise an outage would cost the database,
/// and with it those who register, more than delivering does. Whatever a connected mail server says, or does not say, may
/// be about one recipient and holds up nobody else.
#[derive(Debug, Default)]
pub(crate) struct Receiver {
    pause: Duration,
    paused_until: Option<Instant>,
}

impl Receiver {
    /// Whether the next batch may begin.
    pub(crate) fn may_be_tried(&self, now: Instant) -> bool {
        self.paused_until.is_none_or(|until| until <= now)
    }

    pub(crate) fn note<Id>(&mut self, report: &DeliveryReport<Id>, now: Instant) {
        if report.sent > 0 || !(report.no_connection || report.failed.is_empty()) {
            *self = Self::default();
        } else if report.no_connection {
            self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            self.paused_until = Some(now + self.pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use doorward_auth::{FailedMail, MailReport};
    use doorward_domain::MailId;

    use super::*;

    fn out_of_reach() -> MailReport {
        MailReport { no_connection: true, ..refused() }
    }

    fn refused() -> MailReport {
        let id = MailId::from_uuid(uuid::Uuid::nil());
        let failed = FailedMail { id, error: "no".to_owned(), dead: false };
        MailReport { failed: vec![failed], ..MailReport::default() }
    }

    #[test]
    fn a_receiver_out_of_reach_is_tried_ever_more_seldom() {
        let (mut receiver, mut now) = (Receiver::default(), Instant::now());
        assert!(receiver.may_be_tried(now));
        for seconds in [1, 2, 4, 8, 8] {
            receiver.note(&out_of_reach(), now);
            assert!(!receiver.may_be_tried(now + Duration::from_millis(seconds * 1_000 - 1)), "{seconds}");
            now += Duration::from_secs(seconds);
            assert!(receiver.may_be_tried(now), "{seconds}");
        }
    }

    #[test]
    fn a_receiver_that_answers_is_not_waited_for_whatever_it_says() {
        let now = Instant::now();
        for answer in [MailReport { sent: 1, ..out_of_reach() }, MailReport { sent: 1, ..refused() }, refused()] {
            let mut receiver = Receiver::default();
            receiver.note(&out_of_reach(), now);
            receiver.note(&out_of_reach(), now);
            receiver.note(&answer, now);
            assert!(receiver.may_be_tried(now), "{answer:?}");
            receiver.note(&out_of_reach(), now);
            assert!(receiver.may_be_tried(now + FIRST_PAUSE), "{answer:?}");
        }
    }

    #[test]
    fn a_batch_of_which_nothing_was_to_be_sent_tells_nothing() {
        let (mut receiver, now) = (Receiver::default(), Instant::now());
        receiver.note(&out_of_reach(), now);
        receiver.note(&MailReport::default(), now);
        assert!(!receiver.may_be_tried(now));
    }
}
