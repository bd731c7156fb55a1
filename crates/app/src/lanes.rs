//! The loop that delivers what is leased in batches: mails, and the webhooks to each endpoint.

use std::fmt::Display;
use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use doorward_auth::{DeliveryReport, FailedDelivery, Fault};
use tokio::task::{JoinError, JoinSet};

use crate::receiver::Receiver;

/// What is delivered in batches.
pub(crate) trait Deliveries: Clone + Send + Sync + 'static {
    /// What is leased at once.
    type Batch: Send + 'static;
    /// What names one delivery.
    type Id: Display + Send + 'static;

    /// What it is, for the log.
    const WHAT: &'static str;
    /// How many batches are delivered at once.
    const LANES: usize;

    /// Takes the next batch; `None` when there is none.
    fn lease(&self) -> impl Future<Output = Result<Option<Self::Batch>, Fault>> + Send;

    /// Delivers a batch.
    fn deliver(&self, batch: Self::Batch) -> impl Future<Output = Result<DeliveryReport<Self::Id>, Fault>> + Send;

    /// Tells the log of what was not delivered.
    fn complain(&self, failed: &FailedDelivery<Self::Id>);
}

/// The batches that are being delivered.
type Lanes<Id> = JoinSet<Result<DeliveryReport<Id>, Fault>>;
/// How often the outbox is looked into.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a batch may hold up the next. One that takes longer gets company.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long what is being sent may take once the service is told to end.
const DRAIN: Duration = Duration::from_millis(1_500);

/// Delivers what falls due, until `end` resolves and what is under way then is sent. What takes too long for that is
/// delivered by anybody when the lease ends, and so is everything when this is dropped.
///
/// Batches follow each other, so that a node that dies has one delivery under way. Only a slow one is left behind.
pub(crate) async fn deliver<D: Deliveries>(deliveries: D, end: impl Future<Output = ()>) {
    let mut lanes = JoinSet::new();
    let mut receiver = Receiver::default();
    let mut end = pin!(end);
    loop {
        let full = lanes.len() >= D::LANES;
        let begun = !full && receiver.may_be_tried(Instant::now()) && begin_batch(&deliveries, &mut lanes).await;
        let wait = async {
            if full {
                settle_next(&deliveries, &mut lanes, &mut receiver).await;
            } else if begun {
                tokio::select! {
                    () = settle_next(&deliveries, &mut lanes, &mut receiver) => {}
                    () = tokio::time::sleep(PATIENCE) => {}
                }
            } else {
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::select! {
            biased;
            () = &mut end => break,
            () = wait => {}
        }
        while let Some(done) = lanes.try_join_next() {
            settle(&deliveries, done, &mut receiver);
        }
    }
    let sent = async {
        while !lanes.is_empty() {
            settle_next(&deliveries, &mut lanes, &mut receiver).await;
        }
    };
    if tokio::time::timeout(DRAIN, sent).await.is_err() {
        tracing::warn!("{} was still being sent when the time to drain was over; it is sent again", D::WHAT);
    }
}

/// Begins to deliver the next batch; `false` when there is none.
async fn begin_batch<D: Deliveries>(deliveries: &D, lanes: &mut Lanes<D::Id>) -> bool {
    match deliveries.lease().await {
        Ok(Some(batch)) => {
            let deliveries = deliveries.clone();
            lanes.spawn(async move { deliveries.deliver(batch).await });
            true
        }
        Ok(None) => false,
        Err(error) => {
            tracing::warn!(%error, "the outbox for {} could not be read", D::WHAT);
            false
        }
    }
}

async fn settle_next<D: Deliveries>(deliveries: &D, lanes: &mut Lanes<D::Id>, receiver: &mut Receiver) {
    if let Some(done) = lanes.join_next().await {
        settle(deliveries, done, receiver);
    }
}

fn settle<D: Deliveries>(
    deliveries: &D,
    done: Result<Result<DeliveryReport<D::Id>, Fault>, JoinError>,
    receiver: &mut Receiver,
) {
    match done {
        Ok(Ok(report)) => {
            receiver.note(&report, Instant::now());
            for failed in &report.failed {
                deliveries.complain(failed);
            }
        }
        Ok(Err(error)) => tracing::warn!(%error, "{} could not be settled and will be sent again", D::WHAT),
        Err(error) => tracing::error!(%error, "delivering {} panicked", D::WHAT),
    }
}
