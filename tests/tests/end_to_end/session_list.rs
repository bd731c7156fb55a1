//! One's own sessions: what is told of them, ending one, and how many there can be.

use std::time::Duration;

use doorward_auth::{CurrentUser, RotateRefresh, SessionGrant};
use doorward_domain::{Session, SessionPolicy};
use doorward_tests::in_process::{InProcess, InProcessOptions};
use doorward_tests::{Answer, Client, Database, Grant, PASSWORD, Service, Verdict};
use reqwest::Method;
use serde_json::{Value, json};

use crate::in_process_steps::{log_in, register};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

async fn on_both(settings: &[(&str, &str)], story: impl AsyncFn(&Service, Client)) {
    for database in Database::BOTH {
        let service = Service::start(database, settings);
        let client = Client::new(&service.url());
        story(&service, client).await;
    }
}

/// Logs in with a browser, from behind a proxy.
async fn log_in_from(client: &Client, email: &str, agent: &str, address: &str) -> Grant {
    let body = json!({ "email": email, "password": PASSWORD });
    let headers = [("user-agent", agent), ("x-forwarded-for", address)];
    client.send(Method::POST, "/api/auth/login", &headers, Some(&body)).await.unwrap().grant()
}

async fn listed(client: &Client, access_token: &str) -> Vec<Value> {
    let answer = client.sessions(access_token).await;
    assert_eq!(answer.answered(200).header("cache-control"), Some("no-store"));
    answer.json()["sessions"].as_array().unwrap().clone()
}

fn ids(sessions: &[Value]) -> Vec<&str> {
    sessions.iter().map(|session| session["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_list_tells_the_users_sessions_apart() {
    on_both(&[("TRUSTED_PROXIES", "127.0.0.0/8")], async |_, client| {
        let first = client.register("ada@example.com").await.grant();
        let browser = log_in_from(&client, "ada@example.com", FIREFOX, "203.0.113.9").await;
        let script = log_in_from(&client, "ada@example.com", "", "2001:db8::7").await;
        let left = client.log_in("ada@example.com").await.grant();
        client.log_out(&left.access_token).await.answered(204);
        client.register("eve@example.com").await.answered(201);

        let sessions = listed(&client, &browser.access_token).await;
        assert_eq!(ids(&sessions), [&script.session_id, &browser.session_id, &first.session_id], "newest first");
        let of = |grant: &Grant| sessions.iter().find(|session| session["id"] == grant.session_id.as_str()).unwrap();
        let own = of(&browser);
        let names = ["amr", "created_at", "current", "device", "expires_at", "id", "ip", "last_seen_at", "user_agent"];
        let mut told: Vec<&String> = own.as_object().unwrap().keys().collect();
        told.sort();
        assert_eq!(told, names);
        assert_eq!((&own["ip"], &own["user_agent"]), (&json!("203.0.113.9"), &json!(FIREFOX)));
        assert_eq!(own["amr"], json!(["pwd"]));
        let device = own["device"].as_str().unwrap();
        assert!(device.contains("Firefox") && device.contains("Linux"), "{device}");
        for name in ["created_at", "last_seen_at", "expires_at"] {
            assert!(own[name].as_str().unwrap().ends_with('Z'), "{name}: {own}");
        }
        assert_eq!(of(&script)["ip"], "2001:db8::7");
        assert_eq!(of(&script)["device"], json!(null), "nothing is known of it");
        let current: Vec<&Value> = sessions.iter().filter(|session| session["current"] == true).collect();
        assert_eq!(current, [own]);
    })
    .await;
}

fn masked(answer: &Answer) -> Value {
    let mut json = answer.json();
    json["request_id"] = json!("");
    json
}

#[tokio::test]
async fn a_user_ends_their_own_sessions_and_learns_nothing_of_others() {
    on_both(&[], async |_, client| {
        let own = client.register("ada@example.com").await.grant();
        let other = client.log_in("ada@example.com").await.grant();
        let stranger = client.register("eve@example.com").await.grant();

        client.end_session(&own.access_token, &other.session_id).await.answered(204);
        assert_eq!(client.judge(&other.access_token).await, Verdict::Refused);
        client.refresh(&other.refresh_token).await.refused(401, "invalid_refresh_token");
        assert_eq!(ids(&listed(&client, &own.access_token).await), [&own.session_id]);

        let unknown = "01890a5d-ac96-774b-bcce-b302099a8057";
        let refusal = client.end_session(&own.access_token, unknown).await;
        refusal.refused(404, "not_found");
        for id in [stranger.session_id.as_str(), "1", "me", "..%2f..", "%00", &unknown.replace('-', ":")] {
            let answer = client.end_session(&own.access_token, id).await;
            assert_eq!((answer.status, masked(&answer)), (refusal.status, masked(&refusal)), "{id}");
        }
        assert_eq!(client.judge(&stranger.access_token).await, Verdict::Accepted, "a stranger's session ended");
        assert!(client.refresh(&stranger.refresh_token).await.status.is_success());

        client.end_session(&own.access_token, &own.session_id).await.answered(204);
        assert_eq!(client.judge(&own.access_token).await, Verdict::Refused);
        client.sessions(&own.access_token).await.refused(401, "unauthenticated");
        client.end_session("x.y.z", &own.session_id).await.refused(401, "unauthenticated");
    })
    .await;
}

#[tokio::test]
async fn one_session_too_many_ends_the_oldest() {
    on_both(&[("SESSIONS__MOST_PER_USER", "3"), ("LIMITS__PASSWORD_FREE", "100")], async |_, client| {
        let mut grants = vec![client.register("ada@example.com").await.grant()];
        let stranger = client.register("eve@example.com").await.grant();
        for _ in 0..4 {
            grants.push(client.log_in("ada@example.com").await.grant());
        }
        let (ended, live) = grants.split_at(2);
        for grant in ended {
            assert_eq!(client.judge(&grant.access_token).await, Verdict::Refused);
            client.refresh(&grant.refresh_token).await.refused(401, "invalid_refresh_token");
        }
        for grant in live {
            assert_eq!(client.judge(&grant.access_token).await, Verdict::Accepted);
        }
        assert_eq!(listed(&client, &live[2].access_token).await.len(), 3);
        assert_eq!(client.judge(&stranger.access_token).await, Verdict::Accepted);

        let crowd: Vec<_> = (0..12)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.log_in("ada@example.com").await.grant() })
            })
            .collect();
        let mut accepted = Vec::new();
        for grant in crowd {
            let grant = grant.await.unwrap();
            if client.judge(&grant.access_token).await == Verdict::Accepted {
                accepted.push(grant);
            }
        }
        // A session that was live when it was looked at may have been ended by a later one of the crowd.
        let mut still = Vec::new();
        for grant in accepted {
            if client.judge(&grant.access_token).await == Verdict::Accepted {
                still.push(grant);
            }
        }
        assert_eq!(still.len(), 3, "a crowd got past the limit, or lost a session");
        assert_eq!(listed(&client, &still[0].access_token).await.len(), 3);
    })
    .await;
}

/// The user's only session, as the database has it.
async fn stored(doorward: &InProcess, user: &CurrentUser) -> Session {
    // What the background does now and then.
    doorward.auth.note_seen_sessions().await.unwrap();
    let sessions = doorward.auth.sessions(user).await.unwrap();
    assert_eq!(sessions.len(), 1);
    sessions.into_iter().next().unwrap()
}

fn authenticated(doorward: &InProcess, grant: &SessionGrant) -> CurrentUser {
    doorward.auth.authenticate(&grant.access_token.text).unwrap()
}

#[tokio::test]
async fn when_a_session_was_seen_moves_once_a_minute() {
    for database in Database::BOTH {
        let doorward = InProcess::start(database).await;
        let grant = register(&doorward, "ada@example.com").await;
        let user = authenticated(&doorward, &grant);
        let first = stored(&doorward, &user).await.last_seen_at;

        let mut moments = vec![first];
        for _ in 0..18 {
            doorward.clock.advance(Duration::from_secs(10));
            for _ in 0..50 {
                authenticated(&doorward, &grant);
            }
            moments.push(stored(&doorward, &user).await.last_seen_at);
        }
        moments.dedup();
        assert!((3..=4).contains(&moments.len()), "{database:?}: three minutes of requests: {moments:?}");
        for pair in moments.windows(2) {
            assert!(pair[1].since(pair[0]) >= Duration::from_mins(1), "{database:?}: {moments:?}");
        }
        // Nobody was there, so nobody was seen.
        doorward.clock.advance(Duration::from_mins(5));
        assert_eq!(Some(&stored(&doorward, &user).await.last_seen_at), moments.last(), "{database:?}");
    }
}

#[tokio::test]
async fn the_limit_counts_sessions_that_go_on() {
    for database in Database::BOTH {
        let policy = SessionPolicy { most_per_user: 2, idle: Duration::from_hours(1), ..SessionPolicy::default() };
        let options = InProcessOptions { sessions: policy, ..InProcessOptions::default() };
        let doorward = InProcess::start_with(database, options).await;
        let expired = register(&doorward, "ada@example.com").await;
        doorward.clock.advance(Duration::from_mins(59));
        let old = log_in(&doorward, "ada@example.com").await;
        doorward.clock.advance(Duration::from_mins(2));
        let new = log_in(&doorward, "ada@example.com").await;

        let user = authenticated(&doorward, &new);
        let live: Vec<_> = doorward.auth.sessions(&user).await.unwrap().iter().map(|session| session.id).collect();
        assert_eq!(live, [new.session_id, old.session_id], "{database:?}: not {}", expired.session_id);
        let request = RotateRefresh { refresh_token: old.refresh_token.to_text() };
        assert!(doorward.auth.refresh(request, &doorward_domain::Client::default()).await.is_ok(), "{database:?}");
    }
}
