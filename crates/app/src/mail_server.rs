use std::time::{Duration, Instant};

use doorward_auth::MailReport;

/// The pause after the first batch that found the mail server out of reach; it doubles with every further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause, and so how long mail waits at most once the server is back.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// What is known of the mail server: while there is no connection to it, one batch now and then finds out, instead of
/// every batch that is due. Otherwise an outage would cost the database, and with it those who register, more than
/// delivering does. Whatever a connected server says, or does not say, may be about one recipient and holds up nobody
/// else.
#[derive(Debug, Default)]
pub(crate) struct MailServer {
    pause: Duration,
    paused_until: Option<Instant>,
}

impl MailServer {
    /// Whether the next batch may begin.
    pub(crate) fn may_be_tried(&self, now: Instant) -> bool {
        self.paused_until.is_none_or(|until| until <= now)
    }

    pub(crate) fn note(&mut self, report: &MailReport, now: Instant) {
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
    use doorward_auth::FailedMail;
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
    fn a_server_out_of_reach_is_tried_ever_more_seldom() {
        let (mut server, mut now) = (MailServer::default(), Instant::now());
        assert!(server.may_be_tried(now));
        for seconds in [1, 2, 4, 8, 8] {
            server.note(&out_of_reach(), now);
            assert!(!server.may_be_tried(now + Duration::from_millis(seconds * 1_000 - 1)), "{seconds}");
            now += Duration::from_secs(seconds);
            assert!(server.may_be_tried(now), "{seconds}");
        }
    }

    #[test]
    fn a_server_that_answers_is_not_waited_for_whatever_it_says() {
        let now = Instant::now();
        for answer in [MailReport { sent: 1, ..out_of_reach() }, MailReport { sent: 1, ..refused() }, refused()] {
            let mut server = MailServer::default();
            server.note(&out_of_reach(), now);
            server.note(&out_of_reach(), now);
            server.note(&answer, now);
            assert!(server.may_be_tried(now), "{answer:?}");
            server.note(&out_of_reach(), now);
            assert!(server.may_be_tried(now + FIRST_PAUSE), "{answer:?}");
        }
    }

    #[test]
    fn a_batch_of_which_nothing_was_to_be_sent_tells_nothing() {
        let (mut server, now) = (MailServer::default(), Instant::now());
        server.note(&out_of_reach(), now);
        server.note(&MailReport::default(), now);
        assert!(!server.may_be_tried(now));
    }
}
