//! The webhooks that wait.

use std::sync::Arc;

use doorward_domain::{
    Clock, EndpointName, EventId, QueuedWebhook, Store, StoreError, Timestamp, WebhookDelivery, WebhookId,
};

use super::{CROWD, NOW, Outcome, Surroundings, Violation, after, crowd, must};

fn endpoint(name: &str) -> Result<EndpointName, Violation> {
    EndpointName::parse(name).map_err(|error| Violation::Broken(error.to_string()))
}

/// A delivery that was queued, and is due, so many seconds after [`NOW`]. The ids of later ones are greater.
fn delivery(seconds: u64, to: &str) -> Result<WebhookDelivery, Violation> {
    struct At(Timestamp);
    impl Clock for At {
        fn now(&self) -> Timestamp {
            self.0
        }
    }
    Ok(WebhookDelivery {
        id: WebhookId::new(&At(after(seconds)), &Surroundings)?,
        endpoint: endpoint(to)?,
        event_id: EventId::new(&Surroundings, &Surroundings)?,
        payload: "{\"type\":\"login\",\"user_agent\":\"it's \\\"quoted\\\" – '--\"}".to_owned(),
        created_at: after(seconds),
        attempts: 0,
    })
}

async fn push(store: &dyn Store, delivery: &WebhookDelivery) -> Result<(), StoreError> {
    let mut unit = store.write().await?;
    unit.webhooks().push(delivery).await?;
    unit.commit().await
}

async fn pushed(store: &dyn Store, seconds: u64, to: &str) -> Result<WebhookDelivery, Violation> {
    let delivery = delivery(seconds, to)?;
    push(store, &delivery).await?;
    Ok(delivery)
}

async fn lease(
    store: &dyn Store,
    endpoint: &EndpointName,
    now: Timestamp,
    until: Timestamp,
    limit: u32,
) -> Result<Vec<WebhookDelivery>, StoreError> {
    let mut unit = store.write().await?;
    let leased = unit.webhooks().lease(endpoint, now, until, limit).await?;
    unit.commit().await?;
    Ok(leased)
}

async fn postpone(
    store: &dyn Store,
    id: WebhookId,
    until: Timestamp,
    due_at: Option<Timestamp>,
    attempts: u32,
) -> Result<bool, StoreError> {
    let mut unit = store.write().await?;
    let postponed = unit.webhooks().postpone(id, until, due_at, attempts, "answered \"503\"; '--").await?;
    unit.commit().await?;
    Ok(postponed)
}

async fn finish(store: &dyn Store, id: WebhookId, until: Timestamp) -> Result<bool, StoreError> {
    let mut unit = store.write().await?;
    let finished = unit.webhooks().finish(id, until).await?;
    unit.commit().await?;
    Ok(finished)
}

async fn requeue(store: &dyn Store, id: WebhookId, now: Timestamp) -> Result<bool, StoreError> {
    let mut unit = store.write().await?;
    let requeued = unit.webhooks().requeue(id, now).await?;
    unit.commit().await?;
    Ok(requeued)
}

async fn has_due(store: &dyn Store, endpoint: &EndpointName, now: Timestamp) -> Result<bool, StoreError> {
    store.read().await?.webhooks().has_due(endpoint, now).await
}

async fn find(store: &dyn Store, id: WebhookId) -> Result<Option<QueuedWebhook>, StoreError> {
    store.read().await?.webhooks().find(id).await
}

fn ids(deliveries: &[WebhookDelivery]) -> Vec<WebhookId> {
    deliveries.iter().map(|delivery| delivery.id).collect()
}

/// Every field of a webhook comes back as it was written, to whoever looks and to whoever leases it.
pub async fn a_webhook_survives_the_round_trip(store: Arc<dyn Store>) -> Outcome {
    let written = delivery(0, "audit-log_2")?;
    must!(!has_due(&*store, &written.endpoint, after(9)).await?, "a webhook is due where there is none");
    push(&*store, &written).await?;
    must!(has_due(&*store, &written.endpoint, NOW).await?, "a webhook was not due at once");
    let expected = QueuedWebhook { delivery: written.clone(), due_at: Some(NOW), locked_until: None, last_error: None };
    let found = find(&*store, written.id).await?;
    must!(found.as_ref() == Some(&expected), "the webhook came back as {found:?}");
    let leased = lease(&*store, &written.endpoint, NOW, after(10), 9).await?;
    must!(leased == [written], "the webhook was leased as {leased:?}");
    must!(find(&*store, delivery(0, "a")?.id).await?.is_none(), "an unknown webhook was found");
    Ok(())
}

/// A crowd that leases at once, and whoever comes after it, get every webhook exactly once.
pub async fn every_webhook_is_leased_once(store: Arc<dyn Store>) -> Outcome {
    const LIMIT: u32 = 2;
    let mut expected = Vec::new();
    for n in 0..2 * CROWD as u64 {
        expected.push(pushed(&*store, n, "audit").await?.id);
    }
    let audit = endpoint("audit")?;
    let (writer, name) = (Arc::clone(&store), audit.clone());
    let mut batches = crowd(move |_| {
        let (store, name) = (Arc::clone(&writer), name.clone());
        async move { lease(&*store, &name, after(1_000), after(2_000), LIMIT).await }
    })
    .await?;
    // Whoever came while others were choosing may have got less than there was.
    loop {
        let batch = lease(&*store, &audit, after(1_000), after(2_000), LIMIT).await?;
        if batch.is_empty() {
            break;
        }
        batches.push(batch);
    }
    must!(batches.iter().all(|batch| batch.len() <= LIMIT as usize), "more were leased than were asked for");
    let mut leased: Vec<_> = batches.iter().flat_map(|batch| ids(batch)).collect();
    leased.sort_unstable();
    must!(leased == expected, "{} leases were given of {} webhooks", leased.len(), expected.len());
    Ok(())
}

/// A leased webhook is nobody else's before its lease ends, and anybody's from then on.
pub async fn a_leased_webhook_is_nobody_else_s(store: Arc<dyn Store>) -> Outcome {
    let webhook = pushed(&*store, 0, "audit").await?;
    let (id, to) = (webhook.id, &webhook.endpoint);
    must!(ids(&lease(&*store, to, NOW, after(10), 9).await?) == [id], "a due webhook was not leased");
    let locked_until = find(&*store, id).await?.and_then(|queued| queued.locked_until);
    must!(locked_until == Some(after(10)), "the lease is shown to end at {locked_until:?}");
    must!(!has_due(&*store, to, after(9)).await?, "a leased webhook is due");
    must!(lease(&*store, to, after(9), after(30), 9).await?.is_empty(), "a webhook was leased twice");
    must!(!requeue(&*store, id, after(9)).await?, "a webhook was requeued while somebody was at work on it");
    must!(has_due(&*store, to, after(10)).await?, "a webhook is not due when its lease has ended");
    must!(ids(&lease(&*store, to, after(10), after(20), 9).await?) == [id], "nobody got the webhook after its lease");
    must!(!requeue(&*store, id, after(19)).await?, "the second lease does not hold");
    must!(requeue(&*store, id, after(20)).await?, "a webhook was not requeued after its lease");
    must!(!finish(&*store, id, after(20)).await?, "a lease outlived the requeueing");
    Ok(())
}

/// Whoever has lost the lease of a webhook to somebody else, or never had it, ends nothing.
pub async fn a_lost_lease_of_a_webhook_ends_nothing(store: Arc<dyn Store>) -> Outcome {
    let webhook = pushed(&*store, 0, "audit").await?;
    let (id, to) = (webhook.id, &webhook.endpoint);
    must!(!finish(&*store, id, after(10)).await?, "a webhook was finished that nobody had leased");
    must!(!postpone(&*store, id, after(10), None, 7).await?, "a webhook was postponed that nobody had leased");
    lease(&*store, to, NOW, after(10), 9).await?;
    lease(&*store, to, after(10), after(20), 9).await?;
    let before = find(&*store, id).await?;
    must!(!finish(&*store, id, after(10)).await?, "a webhook was finished after its lease was lost");
    for due_at in [None, Some(after(99))] {
        must!(!postpone(&*store, id, after(10), due_at, 7).await?, "a lost lease postponed the webhook");
    }
    let found = find(&*store, id).await?;
    must!(found == before && found.is_some(), "a lost lease made the webhook {found:?}");
    must!(finish(&*store, id, after(20)).await?, "the standing lease could not be finished");
    must!(!finish(&*store, id, after(20)).await?, "a webhook was finished twice");
    must!(find(&*store, id).await?.is_none(), "a finished webhook is still there");
    Ok(())
}

/// What one endpoint leaves undone, due or leased, is not in the way of another's.
pub async fn webhooks_to_one_endpoint_hold_up_no_other(store: Arc<dyn Store>) -> Outcome {
    let mut slow = Vec::new();
    for seconds in 0..3 {
        slow.push(pushed(&*store, seconds, "slow").await?.id);
    }
    let fast = pushed(&*store, 3, "fast").await?;
    let [first, rest @ ..] = slow.as_slice() else { return Ok(()) };
    let slow = endpoint("slow")?;
    must!(ids(&lease(&*store, &slow, after(9), after(20), 1).await?) == [*first], "not the longest due was leased");
    must!(has_due(&*store, &fast.endpoint, after(9)).await?, "an endpoint is not due");
    let leased = ids(&lease(&*store, &fast.endpoint, after(9), after(20), 1).await?);
    must!(leased == [fast.id], "{leased:?} were leased to an endpoint that has one webhook");
    must!(!has_due(&*store, &fast.endpoint, after(9)).await?, "an endpoint is due by another's webhooks");
    let leased = ids(&lease(&*store, &slow, after(9), after(20), 9).await?);
    must!(leased == rest, "{leased:?} were leased, {rest:?} had to be");
    Ok(())
}

/// When more is due than is asked for, the webhooks that have been due the longest are leased, in the order in which they
/// became due, whatever their ids.
pub async fn the_longest_due_webhooks_are_leased_in_their_order(store: Arc<dyn Store>) -> Outcome {
    let mut expected = Vec::new();
    for (seconds, due) in [(0, 4), (1, 3), (2, 2), (3, 1)] {
        let webhook = WebhookDelivery { created_at: after(due), ..delivery(seconds, "audit")? };
        push(&*store, &webhook).await?;
        expected.insert(0, webhook.id);
    }
    let leased = ids(&lease(&*store, &endpoint("audit")?, after(9), after(20), 3).await?);
    must!(expected.starts_with(&leased) && leased.len() == 3, "{leased:?} of {expected:?} were leased");
    Ok(())
}

/// A postponed webhook is due at its moment and not before, and remembers what happened.
pub async fn a_postponed_webhook_is_due_at_its_moment(store: Arc<dyn Store>) -> Outcome {
    let webhook = pushed(&*store, 0, "audit").await?;
    let to = &webhook.endpoint;
    lease(&*store, to, NOW, after(10), 9).await?;
    must!(postpone(&*store, webhook.id, after(10), Some(after(60)), 3).await?, "a leased webhook was not postponed");
    let tried = WebhookDelivery { attempts: 3, ..webhook.clone() };
    let expected = QueuedWebhook {
        delivery: tried.clone(),
        due_at: Some(after(60)),
        locked_until: None,
        last_error: Some("answered \"503\"; '--".to_owned()),
    };
    let found = find(&*store, webhook.id).await?;
    must!(found.as_ref() == Some(&expected), "the postponed webhook is {found:?}");
    must!(!postpone(&*store, webhook.id, after(10), Some(after(5)), 9).await?, "an ended lease postponed it again");
    must!(!has_due(&*store, to, after(59)).await?, "a postponed webhook was due before its moment");
    must!(lease(&*store, to, after(59), after(99), 9).await?.is_empty(), "it was leased before its moment");
    must!(has_due(&*store, to, after(60)).await?, "a postponed webhook was not due at its moment");
    must!(lease(&*store, to, after(60), after(99), 9).await? == [tried], "it was not leased at its moment");
    Ok(())
}

/// A dead letter is listed and never leased, until it is requeued; then it counts as not tried.
pub async fn a_dead_webhook_waits_to_be_requeued(store: Arc<dyn Store>) -> Outcome {
    let webhook = pushed(&*store, 0, "audit").await?;
    let (id, to) = (webhook.id, &webhook.endpoint);
    lease(&*store, to, NOW, after(10), 9).await?;
    must!(postpone(&*store, id, after(10), None, 5).await?, "a leased webhook could not be given up");
    must!(!has_due(&*store, to, after(1_000_000)).await?, "a dead letter is due");
    must!(lease(&*store, to, after(1_000_000), after(2_000_000), 9).await?.is_empty(), "a dead letter was leased");
    let listed = store.read().await?.webhooks().list(9).await?;
    let dead = listed.iter().all(|queued| {
        (queued.delivery.id, queued.due_at, queued.locked_until, queued.last_error.is_some()) == (id, None, None, true)
    });
    must!(dead && listed.len() == 1, "the dead letter is listed as {listed:?}");
    must!(!requeue(&*store, delivery(0, "audit")?.id, after(100)).await?, "an unknown webhook was requeued");
    must!(requeue(&*store, id, after(100)).await?, "a dead letter was not requeued");
    must!(!has_due(&*store, to, after(99)).await?, "a requeued webhook is due before it was requeued");
    must!(lease(&*store, to, after(100), after(200), 9).await? == [webhook], "a requeued webhook was not leased");
    Ok(())
}

/// Webhooks to all endpoints are listed oldest first, up to a number, leased ones as well.
pub async fn webhooks_are_listed_oldest_first(store: Arc<dyn Store>) -> Outcome {
    let mut webhooks = Vec::new();
    for (seconds, to) in [(2, "audit"), (0, "slow"), (1, "audit")] {
        webhooks.push(pushed(&*store, seconds, to).await?);
    }
    webhooks.sort_unstable_by_key(|webhook| webhook.id);
    lease(&*store, &endpoint("audit")?, after(10), after(20), 1).await?;
    for limit in [2, 9] {
        let listed = store.read().await?.webhooks().list(limit).await?;
        let listed: Vec<_> = listed.into_iter().map(|queued| queued.delivery).collect();
        let expected: Vec<_> = webhooks.iter().take(limit as usize).cloned().collect();
        must!(listed == expected, "{listed:?} are listed, {expected:?} had to be");
    }
    Ok(())
}

/// A webhook is removed once, and not while somebody is at work on it.
pub async fn a_webhook_that_nobody_works_on_is_removed(store: Arc<dyn Store>) -> Outcome {
    let (leased, waiting) = (pushed(&*store, 0, "audit").await?, pushed(&*store, 1, "audit").await?.id);
    lease(&*store, &leased.endpoint, NOW, after(10), 9).await?;
    let leased = leased.id;
    for (id, seconds, expected) in
        [(leased, 9, false), (waiting, 9, true), (waiting, 9, false), (leased, 10, true), (leased, 10, false)]
    {
        let mut unit = store.write().await?;
        let removed = unit.webhooks().remove(id, after(seconds)).await?;
        unit.commit().await?;
        must!(removed == expected, "a webhook was removed in second {seconds}: {removed}");
    }
    must!(store.read().await?.webhooks().list(9).await?.is_empty(), "a removed webhook is listed");
    Ok(())
}
