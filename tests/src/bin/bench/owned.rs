//! What owned tables cost: a page far down a long list against the first, a user's page among the tasks of a thousand
//! others against one alone, and whether the time of a refusal tells another's task from none.

use std::time::{Duration, Instant};

use doorward_tests::task_rows::{begin_as, insert, postgres, task_id};
use doorward_tests::{Answer, Client, Database, Grant, Service};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::timing::{mean_and_variance, welch};
use super::{figure, quantile, runtime};

/// What the part is called on the command line. Writing ten million tasks takes long, so it runs only when it is named.
pub(crate) const NAME: &str = "owned";

const TASKS: &str = "/api/users/me/tasks";
/// How many tasks lie before the deep page.
const DEPTH: usize = 99_000;
const PAGE: usize = 100;
/// How often each page is asked for; the two take turns.
const TURNS: usize = 1_000;
/// How often each refusal is measured; the two take turns.
const SAMPLES: usize = 2_000;
/// What is not measured: the first requests find nothing in any cache.
const WARM_UP: usize = 50;
/// How many others there are, with ten thousand tasks each. `DOORWARD_OTHERS` makes them fewer.
const OTHERS: i64 = 1_000;
const EACH: i64 = 10_000;
/// How many tasks the user has who lives among them.
const OWN: i64 = 50;

const LONG_TOKENS: (&str, &str) = ("TOKENS__ACCESS_TTL", "24h");

pub(crate) fn run() {
    let runtime = runtime();
    for database in Database::BOTH {
        for (filter, tasks) in [("", 100_000), ("&completed=true", 200_000)] {
            runtime.block_on(depth(database, filter, tasks));
        }
    }
    runtime.block_on(crowded());
    for database in Database::BOTH {
        runtime.block_on(refusals(database));
    }
}

/// A user's service.
struct Stage {
    service: Service,
    client: Client,
    user: Grant,
}

impl Stage {
    async fn start(database: Database) -> Self {
        let service = Service::start(database, &[("TASKS__MOST_PER_USER", "200000"), LONG_TOKENS]);
        let client = Client::new(&service.url());
        let user = client.register("ada@example.com").await.grant();
        Self { service, client, user }
    }

    async fn page(&self, query: &str) -> Value {
        let path = format!("{TASKS}?limit={PAGE}{query}");
        self.client.with_token(Method::GET, &path, &self.user.access_token, None).await.answered(200).json()
    }

    async fn time_of_page(&self, query: &str, length: usize) -> Duration {
        let path = format!("{TASKS}?limit={PAGE}{query}");
        let begun = Instant::now();
        let answer = self.client.with_token(Method::GET, &path, &self.user.access_token, None).await;
        let took = begun.elapsed();
        assert_eq!(answer.answered(200).json()["tasks"].as_array().unwrap().len(), length, "{path}");
        took
    }

    async fn settle(&self) {
        if !self.service.schema.is_empty() {
            // Otherwise the server does so at some moment of the measurement.
            let mut connection = postgres(&self.service).await;
            sqlx::query("VACUUM (ANALYZE) tasks").execute(&mut connection).await.unwrap();
        }
    }
}

/// A page at depth against the first one. Of the tasks every other is completed, so that a filter has as many to list.
async fn depth(database: Database, filter: &str, tasks: i64) {
    let stage = Stage::start(database).await;
    insert(&stage.service, std::slice::from_ref(&stage.user.user_id), tasks).await;
    stage.settle().await;
    let mut deep = filter.to_owned();
    for _ in 0..DEPTH / PAGE {
        let page = stage.page(&deep).await;
        deep = format!("{filter}&cursor={}", page["next_cursor"].as_str().unwrap());
    }

    let (mut firsts, mut deeps) = (Vec::new(), Vec::new());
    for turn in 0..WARM_UP + TURNS {
        // Neither always goes first.
        for deep_now in [turn.is_multiple_of(2), !turn.is_multiple_of(2)] {
            let took = stage.time_of_page(if deep_now { &deep } else { filter }, PAGE).await;
            if turn >= WARM_UP {
                if deep_now { deeps.push(took) } else { firsts.push(took) }
            }
        }
    }
    let kind = if filter.is_empty() { "tasks" } else { "completed tasks" };
    let what = format!("{database:?}: page of {PAGE} {kind}");
    compare(&what, ("the first", &mut firsts), (&format!("behind {DEPTH} others"), &mut deeps));
}

/// The first page of a user with few tasks, in a table without others' and in one with ten million of them.
async fn crowded() {
    let others = std::env::var("DOORWARD_OTHERS").ok().and_then(|n| n.parse().ok()).unwrap_or(OTHERS);
    let stages = [Stage::start(Database::Postgres).await, Stage::start(Database::Postgres).await];
    let begun = Instant::now();
    insert_others(&stages[1].service, others).await;
    println!("Postgres: {} tasks of {others} others written in {:.0?}", others * EACH, begun.elapsed());
    for stage in &stages {
        insert(&stage.service, std::slice::from_ref(&stage.user.user_id), OWN).await;
        stage.settle().await;
    }

    let mut times = [Vec::new(), Vec::new()];
    for turn in 0..WARM_UP + TURNS {
        let order = if turn.is_multiple_of(2) { [0, 1] } else { [1, 0] };
        for place in order {
            let took = stages[place].time_of_page("", OWN as usize).await;
            if turn >= WARM_UP {
                times[place].push(took);
            }
        }
    }
    explain(&stages[1]).await;
    let [alone, among] = &mut times;
    let what = format!("Postgres: page of {OWN} tasks");
    compare(&what, ("alone", alone), (&format!("among {} of others", others * EACH), among));
}

/// Adds so many users with tasks. Each user's tasks are written in that user's name, as the policies want it.
async fn insert_others(service: &Service, others: i64) {
    const USERS: &str = "INSERT INTO users (id, email, email_key, email_verified_at, roles, created_at, updated_at) \
         SELECT md5('u' || n)::uuid, 'n' || n || '@example.com', 'n' || n || '@example.com', 1, '[]', 1, 1 \
         FROM generate_series(1, $1::bigint) n RETURNING id";
    let mut connection = postgres(service).await;
    let users: Vec<Uuid> = sqlx::query_scalar(USERS).bind(others).fetch_all(&mut connection).await.unwrap();
    let users: Vec<String> = users.iter().map(Uuid::to_string).collect();
    insert(service, &users, EACH).await;
}

/// Prints how PostgreSQL finds a page: the statement is that of the repository.
async fn explain(stage: &Stage) {
    const PAGE_PLAN: &str = "EXPLAIN (ANALYZE, BUFFERS) \
         SELECT id, title, description, completed, version, created_at, updated_at \
         FROM tasks WHERE owner_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
    let mut connection = postgres(&stage.service).await;
    let mut transaction = begin_as(&mut connection, &stage.user.user_id).await;
    let owner: Uuid = stage.user.user_id.parse().unwrap();
    let plan = sqlx::query_scalar(PAGE_PLAN).bind(owner).bind(Uuid::max()).bind(101_i64);
    let plan: Vec<String> = plan.fetch_all(&mut *transaction).await.unwrap();
    println!("{}", plan.join("\n"));
}

/// Prints how the medians of two sets of times relate.
fn compare(what: &str, (base, times): (&str, &mut [Duration]), (other, other_times): (&str, &mut [Duration])) {
    let (here, there) = (quantile(times, 0.5), quantile(other_times, 0.5));
    println!("{what}: {base} {here:.2?}, {other} {there:.2?}");
    let ratio = there.as_secs_f64() / here.as_secs_f64();
    figure(&format!("{what}: {other} / {base}"), ratio, "", "at most 1.50");
}

/// Whether the time of a refusal tells what is another's from what there is not.
async fn refusals(database: Database) {
    let stage = Stage::start(database).await;
    let other = stage.client.register("eve@example.com").await.grant();
    insert(&stage.service, &[stage.user.user_id.clone(), other.user_id.clone()], 1_000).await;
    stage.settle().await;
    let others_task = task_id(&other.user_id, 500);
    stage.client.task(&other.access_token, &others_task).await.answered(200);

    let of = |owner: &str, task: &str| format!("/api/users/{owner}/tasks/{task}");
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        for (what, known, unknown) in [
            ("user", of(&other.user_id, &others_task), of(&next_to(&other.user_id), &others_task)),
            ("task", of("me", &others_task), of("me", &next_to(&others_task))),
        ] {
            let [known, unknown] = times_of_refusals(&stage, &method, [&known, &unknown]).await;
            let (here, there) = (mean_and_variance(&known).0, mean_and_variance(&unknown).0);
            let what = format!("{database:?}: {method}, another's {what} against an unknown one");
            println!("{what}: {here:.3} ms, {there:.3} ms, {SAMPLES} samples each");
            figure(&format!("{what}: Welch's |t|"), welch(&known, &unknown), "", "under 4.5");
        }
    }
}

/// The times of two requests that are refused alike, in milliseconds.
async fn times_of_refusals(stage: &Stage, method: &Method, paths: [&str; 2]) -> [Vec<f64>; 2] {
    let body = json!({ "title": "a title" });
    let body = (*method == Method::PUT).then_some(&body);
    let refused = async |path: &str| -> (Duration, Answer) {
        let begun = Instant::now();
        let answer = stage.client.with_token(method.clone(), path, &stage.user.access_token, body).await;
        (begun.elapsed(), answer)
    };
    let mut times = [Vec::new(), Vec::new()];
    for n in 0..WARM_UP + SAMPLES {
        // Which of the two comes first alternates as well.
        let order = if n.is_multiple_of(2) { [0, 1] } else { [1, 0] };
        for place in order {
            let (took, answer) = refused(paths[place]).await;
            answer.refused(404, "not_found");
            if n >= WARM_UP {
                times[place].push(took.as_secs_f64() * 1000.0);
            }
        }
    }
    times
}

/// An id that nobody has, as near to this one as can be.
fn next_to(id: &str) -> String {
    let id: Uuid = id.parse().unwrap();
    Uuid::from_u128(id.as_u128() ^ 1).to_string()
}
