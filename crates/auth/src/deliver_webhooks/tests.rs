//! Each webhook by itself, and webhooks of a batch together.

#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says so by panicking")]

use std::time::Duration;

use doorward_domain::store::MockUnit;
use doorward_domain::{EventId, MockWebhookTransport, StoreError};
use uuid::Uuid;

use super::*;
use crate::delivery::FailedDelivery;
use crate::testing::{Committed, DAY, NOW, SECOND, Seen, Setup, collision, webhook_endpoint};
use crate::{RegistrationMode, WebhookEvents};

const HOUR: Duration = Duration::from_hours(1);

fn setup() -> Setup {
    Setup::new(RegistrationMode::Verified)
}

/// When the leases of these tests end.
fn until() -> Timestamp {
    NOW.plus(45 * SECOND)
}

fn delivery(number: u128) -> WebhookDelivery {
    WebhookDelivery {
        id: WebhookId::from_uuid(Uuid::from_u128(number)),
        endpoint: doorward_domain::EndpointName::parse("audit").unwrap(),
        event_id: EventId::from_uuid(Uuid::from_u128(100 + number)),
        payload: format!("{{\"number\":{number}}}"),
        created_at: NOW,
        attempts: 0,
    }
}

/// An endpoint that answers each webhook in turn, as many as there are answers; shows what it was sent.
fn answering(setup: &Setup, answers: Vec<Result<(), WebhookError>>) -> (Arc<WebhookEndpoint>, Seen<SignedWebhook>) {
    let sent = Seen::default();
    let (seen, store) = (sent.clone(), Arc::clone(&setup.store));
    let times = answers.len();
    let mut answers = answers.into_iter();
    let mut transport = MockWebhookTransport::new();
    transport.expect_send().times(times).returning(move |webhook| {
        assert!(!store.in_use(), "a unit is open while a webhook is sent");
        seen.note(webhook.clone());
        answers.next().unwrap()
    });
    (webhook_endpoint("audit", WebhookEvents::All, transport), sent)
}

fn batch(endpoint: &Arc<WebhookEndpoint>, deliveries: impl Into<Vec<WebhookDelivery>>) -> WebhookBatch {
    WebhookBatch { endpoint: Arc::clone(endpoint), deliveries: deliveries.into(), until: until() }
}

/// A unit that removes a delivery, whether or not the lease stands.
fn finishing(delivery: &WebhookDelivery, stands: bool) -> MockUnit {
    let id = delivery.id;
    let mut unit = MockUnit::default();
    let finish = unit.webhooks.expect_finish().times(1);
    finish.withf(move |given, lease| (*given, *lease) == (id, until())).returning(move |_, _| Ok(stands));
    unit
}

/// When a delivery is due again, after how many attempts, and why.
type Postponed = (Option<Timestamp>, u32, String);

/// A unit that ends the leases of deliveries that failed.
fn postponing<const N: usize>(deliveries: [&WebhookDelivery; N], postponed: &Seen<Postponed>) -> MockUnit {
    let mut unit = MockUnit::default();
    for delivery in deliveries {
        let (id, seen) = (delivery.id, postponed.clone());
        let postpone = unit.webhooks.expect_postpone().times(1);
        let postpone = postpone.withf(move |given, lease, _, _, _| (*given, *lease) == (id, until()));
        postpone.returning(move |_, _, due_at, attempts, error| {
            seen.note((due_at, attempts, error.to_owned()));
            Ok(true)
        });
    }
    unit
}

fn temporary() -> WebhookError {
    WebhookError::Temporary("it answers 503".to_owned())
}

fn permanent() -> WebhookError {
    WebhookError::Permanent("it answers 410".to_owned())
}

fn unreachable() -> WebhookError {
    WebhookError::Unreachable("connection refused".to_owned())
}

fn failed(delivery: &WebhookDelivery, error: &WebhookError, dead: bool) -> FailedDelivery<WebhookId> {
    FailedDelivery { id: delivery.id, error: error.to_string(), dead }
}

/// A unit that finds webhooks to the endpoint due, or not.
fn looking(due: bool) -> MockUnit {
    let mut unit = MockUnit::default();
    let has_due = unit.webhooks.expect_has_due().times(1);
    has_due.withf(|endpoint, now| (endpoint.as_str(), *now) == ("audit", NOW)).returning(move |_, _| Ok(due));
    unit
}

/// A unit that leases these deliveries.
fn leasing(deliveries: Vec<WebhookDelivery>) -> MockUnit {
    let mut unit = MockUnit::default();
    let lease = unit.webhooks.expect_lease().times(1);
    let lease = lease
        .withf(|endpoint, now, lease, limit| (endpoint.as_str(), *now, *lease, *limit) == ("audit", NOW, until(), 20));
    lease.returning(move |_, _, _, _| Ok(deliveries.clone()));
    unit
}

#[pollster::test]
async fn nothing_is_written_while_nothing_is_due() {
    let setup = setup();
    let (endpoint, _) = answering(&setup, Vec::new());
    setup.store.plan_read(looking(false));

    assert!(setup.auth().lease_webhooks(&endpoint).await.unwrap().is_none());
}

#[pollster::test]
async fn what_is_due_is_leased_for_long_enough_to_send_one_webhook() {
    let deliveries = vec![delivery(1), delivery(2)];
    let setup = setup();
    let (endpoint, _) = answering(&setup, Vec::new());
    setup.store.plan_read(looking(true));
    let undone = setup.store.plan_write({
        let mut unit = MockUnit::default();
        unit.webhooks.expect_lease().times(1).returning(|_, _, _, _| Err(collision()));
        unit
    });
    let written = setup.store.plan_write(leasing(deliveries.clone()));

    let batch = setup.auth().lease_webhooks(&endpoint).await.unwrap().unwrap();

    assert!(!undone.yes() && written.yes());
    assert_eq!((batch.deliveries, batch.until), (deliveries, until()));
}

#[pollster::test]
async fn there_is_no_batch_when_somebody_else_was_faster() {
    let setup = setup();
    let (endpoint, _) = answering(&setup, Vec::new());
    setup.store.plan_read(looking(true));
    setup.store.plan_write(leasing(Vec::new()));

    assert!(setup.auth().lease_webhooks(&endpoint).await.unwrap().is_none());
}

#[pollster::test]
async fn a_delivered_webhook_is_finished() {
    let delivery = delivery(1);
    let setup = setup();
    let (endpoint, sent) = answering(&setup, vec![Ok(())]);
    let finished = setup.store.plan_write(finishing(&delivery, true));

    let report = setup.auth().deliver_webhooks(batch(&endpoint, [delivery.clone()])).await.unwrap();

    assert!(finished.yes());
    assert_eq!(report, WebhookReport { sent: 1, ..WebhookReport::default() });
    let webhook = sent.only();
    assert_eq!((webhook.id, &webhook.body), (delivery.id, &delivery.payload));
}

#[pollster::test]
async fn every_attempt_has_the_same_id_and_is_signed_anew() {
    let delivery = delivery(1);
    let setup = setup();
    let (endpoint, sent) = answering(&setup, vec![Err(temporary()), Ok(())]);
    setup.store.plan_write(postponing([&delivery], &Seen::default()));
    setup.store.plan_write(finishing(&delivery, true));
    let (time, auth) = (setup.time.clone(), setup.auth());

    auth.deliver_webhooks(batch(&endpoint, [delivery.clone()])).await.unwrap();
    time.set(NOW.plus(2 * SECOND));
    let tried = WebhookDelivery { attempts: 1, ..delivery.clone() };
    auth.deliver_webhooks(batch(&endpoint, [tried])).await.unwrap();

    let sent = sent.all();
    assert_eq!(sent.len(), 2);
    for (webhook, timestamp) in sent.iter().zip([1_800_000_000, 1_800_000_002]) {
        assert_eq!((webhook.id, webhook.timestamp), (delivery.id, timestamp));
        assert_eq!(webhook.signature, endpoint.secret.sign(delivery.id, timestamp, &delivery.payload));
    }
    assert_ne!(sent[0].signature, sent[1].signature);
}

#[pollster::test]
async fn a_refused_webhook_does_not_hold_up_the_next() {
    let deliveries = [1, 2, 3].map(delivery);
    let [first, second, third] = &deliveries;
    let postponed = Seen::default();
    let setup = setup();
    let (endpoint, _) = answering(&setup, vec![Err(permanent()), Err(temporary()), Ok(())]);
    let mut written = Vec::new();
    for unit in [postponing([first], &postponed), postponing([second], &postponed), finishing(third, true)] {
        written.push(setup.store.plan_write(unit));
    }

    let report = setup.auth().deliver_webhooks(batch(&endpoint, deliveries.clone())).await.unwrap();

    assert!(written.iter().all(Committed::yes));
    let expected = vec![failed(first, &permanent(), true), failed(second, &temporary(), false)];
    assert_eq!(report, WebhookReport { sent: 1, failed: expected, no_connection: false });
    let postponed = postponed.all();
    assert_eq!(postponed[0], (None, 1, permanent().to_string()), "what is refused for good is a dead letter");
    assert_eq!((postponed[1].1, &postponed[1].2), (1, &temporary().to_string()));
    assert!(postponed[1].0.is_some_and(|due_at| due_at > NOW));
}

#[pollster::test]
async fn an_endpoint_that_does_not_answer_postpones_the_rest_without_being_asked_again() {
    let deliveries = [1, 2, 3, 4].map(delivery);
    let [first, second, third, fourth] = &deliveries;
    let postponed = Seen::default();
    let setup = setup();
    let (endpoint, sent) = answering(&setup, vec![Ok(()), Err(unreachable())]);
    setup.store.plan_write(finishing(first, true));
    setup.store.plan_write(postponing([second, third, fourth], &postponed));

    let report = setup.auth().deliver_webhooks(batch(&endpoint, deliveries.clone())).await.unwrap();

    let expected = [second, third, fourth].map(|delivery| failed(delivery, &unreachable(), false));
    assert_eq!(report, WebhookReport { sent: 1, failed: expected.to_vec(), no_connection: true });
    assert_eq!(sent.all().len(), 2);
    for (due_at, attempts, error) in postponed.all() {
        assert!(due_at.is_some_and(|due_at| due_at > NOW));
        assert_eq!((attempts, error), (1, unreachable().to_string()));
    }
}

#[pollster::test]
async fn a_lease_that_was_lost_while_sending_is_no_error() {
    let (first, second) = (delivery(1), delivery(2));
    let setup = setup();
    let (endpoint, _) = answering(&setup, vec![Ok(()), Ok(())]);
    setup.store.plan_write(finishing(&first, false));
    setup.store.plan_write(finishing(&second, true));

    let report = setup.auth().deliver_webhooks(batch(&endpoint, [first, second])).await.unwrap();

    assert_eq!((report.sent, report.failed), (2, Vec::new()));
}

#[pollster::test]
async fn nothing_is_sent_when_the_lease_may_be_somebody_else_s() {
    let delivery = delivery(1);
    let postponed = Seen::default();
    let setup = setup();
    let (endpoint, sent) = answering(&setup, Vec::new());
    setup.store.plan_write(postponing([&delivery], &postponed));
    setup.time.set(until());

    let report = setup.auth().deliver_webhooks(batch(&endpoint, [delivery])).await.unwrap();

    assert_eq!(report, WebhookReport::default());
    assert!(sent.all().is_empty());
}

#[pollster::test]
async fn no_webhook_is_begun_that_may_not_end_within_the_lease() {
    // 10 s of the 45 that the lease lasts are for the webhook that is being sent, and 5 for writing that down.
    let (last, late) = (NOW.plus(30 * SECOND).minus(Duration::from_micros(1)), NOW.plus(30 * SECOND));
    for (moment, begun) in [(last, true), (late, false)] {
        let (first, second) = (delivery(1), WebhookDelivery { attempts: 3, ..delivery(2) });
        let postponed = Seen::default();
        let setup = setup();
        let time = setup.time.clone();
        let mut transport = MockWebhookTransport::new();
        transport.expect_send().times(1 + usize::from(begun)).returning(move |_| {
            time.set(moment);
            Ok(())
        });
        let endpoint = webhook_endpoint("audit", WebhookEvents::All, transport);
        setup.store.plan_write(finishing(&first, true));
        if begun {
            setup.store.plan_write(finishing(&second, true));
        } else {
            setup.store.plan_write(postponing([&second], &postponed));
        }

        let report = setup.auth().deliver_webhooks(batch(&endpoint, [first, second])).await.unwrap();

        assert_eq!(report, WebhookReport { sent: 1 + u32::from(begun), ..WebhookReport::default() });
        if !begun {
            let (due_at, attempts, _) = postponed.only();
            assert_eq!((due_at, attempts), (Some(late), 3), "what was not tried is no attempt");
        }
    }
}

#[pollster::test]
async fn a_collision_settles_again_and_sends_once() {
    let (first, second) = (delivery(1), delivery(2));
    let postponed = Seen::default();
    let setup = setup();
    let (endpoint, sent) = answering(&setup, vec![Ok(()), Err(temporary())]);
    setup.store.plan_collision(finishing(&first, true));
    setup.store.plan_write(finishing(&first, true));
    setup.store.plan_collision(postponing([&second], &postponed));
    setup.store.plan_write(postponing([&second], &postponed));

    setup.auth().deliver_webhooks(batch(&endpoint, [first, second])).await.unwrap();

    assert_eq!(sent.all().len(), 2);
    let postponed = postponed.all();
    assert_eq!(postponed.len(), 2);
    assert_eq!(postponed[0], postponed[1], "each attempt to settle waits for another time");
}

#[pollster::test]
async fn nothing_more_is_sent_when_the_database_fails() {
    let mut unit = MockUnit::default();
    unit.webhooks.expect_finish().times(1).returning(|_, _| Err(StoreError::Unavailable("gone".into())));
    let setup = setup();
    let (endpoint, sent) = answering(&setup, vec![Ok(())]);
    setup.store.plan_write(unit);

    let outcome = setup.auth().deliver_webhooks(batch(&endpoint, [delivery(1), delivery(2)])).await;

    assert!(matches!(outcome, Err(Fault::Store(StoreError::Unavailable(_)))), "{outcome:?}");
    assert_eq!(sent.all().len(), 1);
}

/// When a webhook is due again after this failure, and whether it is reported dead.
async fn due_after(delivery: &WebhookDelivery, error: WebhookError) -> (Option<Timestamp>, u32, bool) {
    let postponed = Seen::default();
    let setup = setup();
    let (endpoint, _) = answering(&setup, vec![Err(error)]);
    let written = setup.store.plan_write(postponing([delivery], &postponed));

    let report = setup.auth().deliver_webhooks(batch(&endpoint, [delivery.clone()])).await.unwrap();

    assert!(written.yes());
    assert_eq!((report.sent, report.failed.len()), (0, 1));
    let (due_at, attempts, _) = postponed.only();
    (due_at, attempts, report.failed[0].dead)
}

#[pollster::test]
async fn a_webhook_is_tried_ever_more_seldom_for_a_day() {
    for error in [temporary(), unreachable()] {
        for (attempts, left, wait, dead) in [
            (0, DAY, SECOND, false),
            (5, DAY, 32 * SECOND, false),
            (12, DAY, HOUR, false),
            (u32::MAX, DAY, HOUR, false),
            (0, 2 * SECOND, SECOND, false),
            (0, Duration::from_millis(999), SECOND, true),
            (40, HOUR + HOUR / 4, HOUR, false),
            (40, Duration::from_secs(3_599), HOUR, true),
        ] {
            let delivery = WebhookDelivery { attempts, created_at: NOW.plus(left).minus(DAY), ..delivery(1) };

            let (due_at, counted, reported_dead) = due_after(&delivery, error.clone()).await;

            assert_eq!((due_at.is_none(), reported_dead), (dead, dead), "{attempts} {left:?}");
            assert_eq!(counted, attempts.saturating_add(1));
            if let Some(due_at) = due_at {
                let expected = NOW.plus(wait)..=NOW.plus(wait + wait / 4);
                assert!(expected.contains(&due_at), "{attempts}: {due_at:?}");
            }
        }
    }
}
