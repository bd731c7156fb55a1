//! Writing down who is to be told of what, once an event stands.

use doorward_domain::store::WriteUnit;
use doorward_domain::{SecurityEvent, WebhookDelivery, WebhookId};

use crate::{Auth, Fault, event_json};

impl Auth {
    /// Queues these events for every endpoint that is told of their kind, in the unit that seals them: what was committed
    /// is delivered, and nobody who causes an event waits for that. Each event MUST be queued once.
    pub(crate) async fn queue_webhooks(&self, unit: &mut dyn WriteUnit, events: &[SecurityEvent]) -> Result<(), Fault> {
        for event in events {
            let payload = event_json(event);
            for endpoint in self.webhooks() {
                if !endpoint.events.include(event.kind) {
                    continue;
                }
                let delivery = WebhookDelivery {
                    id: self.fresh(WebhookId::new)?,
                    endpoint: endpoint.name.clone(),
                    event_id: event.id,
                    payload: payload.clone(),
                    created_at: self.now(),
                    attempts: 0,
                };
                unit.webhooks().push(&delivery).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use doorward_domain::store::MockUnit;
    use doorward_domain::{EventId, EventKind, EventReason, MockWebhookTransport};
    use uuid::Uuid;

    use super::*;
    use crate::testing::{NOW, SESSION_ID, Seen, Setup, USER_ID, client, webhook_endpoint};
    use crate::{RegistrationMode, WebhookEvents};

    fn event(number: u128, kind: EventKind) -> SecurityEvent {
        SecurityEvent {
            id: EventId::from_uuid(Uuid::from_u128(number)),
            at: NOW,
            kind,
            reason: Some(EventReason::WrongPassword),
            user_id: Some(USER_ID),
            session_id: Some(SESSION_ID),
            client: client(),
            count: 1,
        }
    }

    /// What is queued of these events for endpoints that are told of so much.
    async fn queued(events: &[SecurityEvent], endpoints: &[(&str, WebhookEvents)]) -> Vec<WebhookDelivery> {
        let mut setup = Setup::new(RegistrationMode::Verified);
        for (name, events) in endpoints {
            setup.webhooks.push(webhook_endpoint(name, events.clone(), MockWebhookTransport::new()));
        }
        let pushed = Seen::default();
        let mut unit = MockUnit::default();
        let seen = pushed.clone();
        unit.webhooks.expect_push().returning(move |delivery| {
            seen.note(delivery.clone());
            Ok(())
        });
        let committed = setup.store.plan_write(unit);
        let auth = setup.auth();

        let mut unit = auth.store().write().await.unwrap();
        auth.queue_webhooks(&mut *unit, events).await.unwrap();

        assert!(!committed.yes(), "the unit belongs to who seals the events");
        pushed.all()
    }

    #[pollster::test]
    async fn nothing_is_queued_without_an_endpoint() {
        assert_eq!(queued(&[event(1, EventKind::Login)], &[]).await, []);
    }

    #[pollster::test]
    async fn each_endpoint_is_told_of_each_event_of_its_kinds() {
        let events = [event(1, EventKind::Login), event(2, EventKind::Logout), event(3, EventKind::Refresh)];
        let endpoints = [
            ("all", WebhookEvents::All),
            ("some", WebhookEvents::Only(vec![EventKind::Refresh, EventKind::Login])),
            ("none", WebhookEvents::Only(vec![EventKind::KeyRevoke])),
        ];

        let queued = queued(&events, &endpoints).await;

        let told: Vec<_> = queued.iter().map(|delivery| (delivery.endpoint.as_str(), delivery.event_id)).collect();
        let [login, logout, refresh] = events.each_ref().map(|event| event.id);
        assert_eq!(told, [("all", login), ("some", login), ("all", logout), ("all", refresh), ("some", refresh)],);
        let mut ids: Vec<_> = queued.iter().map(|delivery| delivery.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), queued.len(), "two deliveries have one id");
    }

    #[pollster::test]
    async fn a_delivery_says_what_the_log_says_and_has_not_been_tried() {
        let event = event(1, EventKind::Login);

        let queued = queued(std::slice::from_ref(&event), &[("audit", WebhookEvents::All)]).await;

        let [delivery] = queued.as_slice() else { panic!("{queued:?}") };
        assert_eq!(delivery.payload, event_json(&event));
        assert_eq!((delivery.created_at, delivery.attempts), (NOW, 0));
    }
}
