//! A bounded pool of threads for slow work, with a bounded queue in front of it.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use futures_channel::oneshot;

use super::HashingError;

/// Threads that each own a scratch value for as long as they live, and the queue that they take work from.
///
/// Dropping the pool lets the work in hand finish and drops what waits.
pub struct WorkerPool<Scratch> {
    shared: Arc<Shared<Scratch>>,
}

/// How many threads hash, and how many requests may wait for them.
///
/// # Defaults
///
/// One worker per core that the process may use, and a queue of 32 a worker: at about 17 ms a hash the last in the queue
/// waits half a second, less than a person's patience and a load balancer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSize {
    /// Threads, at least 1. Each keeps one block of memory of the size that a hash needs.
    pub workers: usize,
    /// Places to wait in, besides those being worked on.
    pub queue: usize,
}

impl PoolSize {
    /// This many workers and the queue that goes with them.
    #[must_use]
    pub const fn with_workers(workers: usize) -> Self {
        Self { workers, queue: 32 * workers }
    }
}

impl Default for PoolSize {
    fn default() -> Self {
        Self::with_workers(thread::available_parallelism().map_or(1, std::num::NonZero::get))
    }
}

/// What a worker runs before anything else, for one to lower its own priority.
pub type OnWorkerStart = Arc<dyn Fn() + Send + Sync>;

struct Shared<Scratch> {
    queue: Mutex<Queue<Scratch>>,
    work_or_end: Condvar,
    size: PoolSize,
}

struct Queue<Scratch> {
    waiting: VecDeque<Box<dyn Job<Scratch>>>,
    free_workers: usize,
    closed: bool,
}

trait Job<Scratch>: Send {
    /// Whether nobody waits for the result any more.
    fn is_abandoned(&self) -> bool;
    /// Does the work, says that it is `done`, and hands over the result.
    fn run(self: Box<Self>, scratch: &mut Scratch, done: &dyn Fn());
}

struct Task<Work, Output> {
    work: Work,
    reply: oneshot::Sender<Output>,
}

impl<Scratch, Work, Output> Job<Scratch> for Task<Work, Output>
where
    Work: FnOnce(&mut Scratch) -> Output + Send,
    Output: Send,
{
    fn is_abandoned(&self) -> bool {
        self.reply.is_canceled()
    }

    fn run(self: Box<Self>, scratch: &mut Scratch, done: &dyn Fn()) {
        let Self { work, reply } = *self;
        let output = catch_unwind(AssertUnwindSafe(|| work(scratch)));
        // Before the answer: who has it may ask again at once.
        done();
        // A panic in foreign code must cost one request, not a worker: the dropped reply tells the request.
        if let Ok(output) = output {
            // Nobody is left to be told when the client has gone meanwhile.
            drop(reply.send(output));
        }
    }
}

impl<Scratch: Default + 'static> WorkerPool<Scratch> {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// What the operating system says when it has no thread to give.
    pub fn start(size: PoolSize, on_start: Option<&OnWorkerStart>) -> std::io::Result<Self> {
        let workers = size.workers.max(1);
        // Free from now on: work that comes before a thread has got going finds a worker all the same.
        let queue = Queue { waiting: VecDeque::new(), free_workers: workers, closed: false };
        let shared = Arc::new(Shared { queue: Mutex::new(queue), work_or_end: Condvar::new(), size });
        let pool = Self { shared };
        for n in 0..workers {
            let shared = Arc::clone(&pool.shared);
            let on_start = on_start.cloned();
            thread::Builder::new().name(format!("hash-{n}")).spawn(move || {
                if let Some(on_start) = on_start {
                    on_start();
                }
                shared.work();
            })?;
        }
        Ok(pool)
    }

    /// Has `work` done by a worker. Dropping the future gives its place in the queue free.
    ///
    /// # Errors
    ///
    /// [`HashingError::Overloaded`] at once when the queue is full; [`HashingError::Failed`] when the work
    /// panicked or the pool has been dropped.
    pub async fn run<Output, Work>(&self, work: Work) -> Result<Output, HashingError>
    where
        Work: FnOnce(&mut Scratch) -> Output + Send + 'static,
        Output: Send + 'static,
    {
        let (reply, result) = oneshot::channel();
        self.shared.enqueue(Box::new(Task { work, reply }))?;
        result.await.map_err(|_| HashingError::Failed)
    }
}

impl<Scratch: Default> Shared<Scratch> {
    fn lock(&self) -> MutexGuard<'_, Queue<Scratch>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(&self, job: Box<dyn Job<Scratch>>) -> Result<(), HashingError> {
        let mut queue = self.lock();
        // A free worker will take its job at once, so its place is not one in the queue.
        let room = self.size.queue.saturating_add(queue.free_workers);
        if queue.waiting.len() >= room {
            queue.waiting.retain(|job| !job.is_abandoned());
        }
        if queue.waiting.len() >= room {
            return Err(HashingError::Overloaded);
        }
        queue.waiting.push_back(job);
        drop(queue);
        self.work_or_end.notify_one();
        Ok(())
    }

    fn work(&self) {
        let mut scratch = Scratch::default();
        while let Some(job) = self.next() {
            let done = || self.lock().free_workers += 1;
            if job.is_abandoned() {
                done();
            } else {
                job.run(&mut scratch, &done);
            }
        }
    }

    fn next(&self) -> Option<Box<dyn Job<Scratch>>> {
        let mut queue = self.lock();
        loop {
            if queue.closed {
                return None;
            }
            if let Some(job) = queue.waiting.pop_front() {
                queue.free_workers -= 1;
                return Some(job);
            }
            queue = self.work_or_end.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<Scratch> Drop for WorkerPool<Scratch> {
    fn drop(&mut self) {
        let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.closed = true;
        queue.waiting.clear();
        drop(queue);
        self.shared.work_or_end.notify_all();
    }
}

impl<Scratch> fmt::Debug for WorkerPool<Scratch> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerPool").field("size", &self.shared.size).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn pool(workers: usize, queue: usize) -> WorkerPool<usize> {
        WorkerPool::start(PoolSize { workers, queue }, None).unwrap()
    }

    type Busy<'a> = Pin<Box<dyn Future<Output = Result<(), HashingError>> + 'a>>;

    /// Submits work that waits until the returned sender is used or dropped; returns once it is being done.
    fn occupy(pool: &WorkerPool<usize>) -> (mpsc::Sender<()>, Busy<'_>) {
        let (release, gate) = mpsc::channel::<()>();
        let (started, has_started) = mpsc::channel();
        let mut work = Box::pin(pool.run(move |_| {
            started.send(()).unwrap();
            assert!(gate.recv().is_err(), "released by dropping");
        }));
        assert!(poll_once(work.as_mut()).is_pending());
        has_started.recv().unwrap();
        (release, work)
    }

    fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[pollster::test]
    async fn a_worker_keeps_its_scratch() {
        let pool = pool(1, 1);
        for expected in 1..=3 {
            let count = pool
                .run(|scratch| {
                    *scratch += 1;
                    *scratch
                })
                .await;
            assert_eq!(count, Ok(expected));
        }
    }

    #[pollster::test]
    async fn a_worker_is_free_before_its_thread_has_got_going() {
        let (release, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let wait: OnWorkerStart = Arc::new(move || assert!(gate.lock().unwrap().recv().is_err()));
        let pool = WorkerPool::<usize>::start(PoolSize { workers: 1, queue: 0 }, Some(&wait)).unwrap();
        let mut first = Box::pin(pool.run(|_| ()));
        assert!(poll_once(first.as_mut()).is_pending(), "refused although a worker was on its way");
        let mut second = Box::pin(pool.run(|_| ()));
        assert_eq!(poll_once(second.as_mut()), Poll::Ready(Err(HashingError::Overloaded)));
        drop(release);
        assert_eq!(first.await, Ok(()));
    }

    #[pollster::test]
    async fn a_full_queue_refuses_at_once() {
        let pool = pool(1, 1);
        let (release, busy) = occupy(&pool);
        let mut waiting = Box::pin(pool.run(|_| ()));
        assert!(poll_once(waiting.as_mut()).is_pending());
        let mut refused = Box::pin(pool.run(|_| ()));
        assert_eq!(poll_once(refused.as_mut()), Poll::Ready(Err(HashingError::Overloaded)));
        drop(release);
        assert_eq!(busy.await, Ok(()));
        assert_eq!(waiting.await, Ok(()));
    }

    #[pollster::test]
    async fn who_has_gone_is_not_worked_for_and_gives_the_place_free() {
        let done = Arc::new(AtomicUsize::new(0));
        let pool = pool(1, 1);
        let (release, busy) = occupy(&pool);
        let count = Arc::clone(&done);
        let mut gone = Box::pin(pool.run(move |_| count.fetch_add(1, Ordering::SeqCst)));
        assert!(poll_once(gone.as_mut()).is_pending());
        drop(gone);
        let mut next = Box::pin(pool.run(|_| ()));
        assert!(poll_once(next.as_mut()).is_pending(), "the place was not given free");
        drop(release);
        assert_eq!((busy.await, next.await), (Ok(()), Ok(())));
        assert_eq!(done.load(Ordering::SeqCst), 0, "work was done for a client that had gone");
    }

    #[pollster::test]
    async fn a_panic_costs_one_request_and_no_worker() {
        let pool = pool(1, 1);
        let panicked = pool.run(|_| assert_eq!(1, 2)).await;
        assert_eq!(panicked, Err(HashingError::Failed));
        assert_eq!(pool.run(|_| 7).await, Ok(7));
    }
}
