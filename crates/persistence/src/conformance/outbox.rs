//! The mails that wait, and how many an address gets.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use doorward_domain::{
    Client, Clock, Locale, Mail, MailId, MailKind, QueuedMail, Store, StoreError, Timestamp, User, UserAgent,
};

use super::{CROWD, NOW, Outcome, Surroundings, Violation, address, after, crowd, must, user};

/// The id of a mail that was written so many seconds after [`NOW`]: later ones are greater.
pub(super) fn mail_id(seconds: u64) -> Result<MailId, Violation> {
    struct At(Timestamp);
    impl Clock for At {
        fn now(&self) -> Timestamp {
            self.0
        }
    }
    Ok(MailId::new(&At(after(seconds)), &Surroundings)?)
}

/// A notice that was written, and is due, so many seconds after [`NOW`].
fn mail(seconds: u64, to: &str) -> Result<Mail, Violation> {
    Ok(Mail {
        id: mail_id(seconds)?,
        kind: MailKind::PasswordChanged,
        to: address(to)?,
        user_id: None,
        other_address: None,
        locale: None,
        client: Client::default(),
        created_at: after(seconds),
        attempts: 0,
    })
}

async fn pushed(store: &dyn Store, seconds: u64, to: &str) -> Result<Mail, Violation> {
    let mail = mail(seconds, to)?;
    push(store, &mail).await?;
    Ok(mail)
}

async fn push(store: &dyn Store, mail: &Mail) -> Result<(), StoreError> {
    let mut unit = store.write().await?;
    unit.outbox().push(mail).await?;
    unit.commit().await
}

async fn lease(store: &dyn Store, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<Mail>, StoreError> {
    let mut unit = store.write().await?;
    let mails = unit.outbox().lease(now, until, limit).await?;
    unit.commit().await?;
    Ok(mails)
}

async fn postpone(
    store: &dyn Store,
    id: MailId,
    until: Timestamp,
    due_at: Option<Timestamp>,
    attempts: u32,
) -> Result<bool, StoreError> {
    let mut unit = store.write().await?;
    let postponed = unit.outbox().postpone(id, until, due_at, attempts, "450 \"try\" again; '--").await?;
    unit.commit().await?;
    Ok(postponed)
}

async fn finish(store: &dyn Store, id: MailId, until: Timestamp) -> Result<bool, StoreError> {
    let mut unit = store.write().await?;
    let finished = unit.outbox().finish(id, until).await?;
    unit.commit().await?;
    Ok(finished)
}

async fn requeue(store: &dyn Store, id: MailId, now: Timestamp) -> Result<bool, StoreError> {
    let mut unit = store.write().await?;
    let requeued = unit.outbox().requeue(id, now).await?;
    unit.commit().await?;
    Ok(requeued)
}

async fn has_due(store: &dyn Store, now: Timestamp) -> Result<bool, StoreError> {
    store.read().await?.outbox().has_due(now).await
}

async fn find(store: &dyn Store, id: MailId) -> Result<Option<QueuedMail>, StoreError> {
    store.read().await?.outbox().find(id).await
}

fn ids(mails: &[Mail]) -> Vec<MailId> {
    mails.iter().map(|mail| mail.id).collect()
}

const KINDS: [MailKind; 10] = [
    MailKind::VerifyEmail,
    MailKind::AlreadyRegistered,
    MailKind::ResetPassword,
    MailKind::ChangeEmail,
    MailKind::EmailChangeRequested,
    MailKind::EmailChanged,
    MailKind::PasswordChanged,
    MailKind::NewDevice,
    MailKind::LoginAfterFailures,
    MailKind::RefreshReplayed,
];

/// Every field of a mail of every kind comes back as it was written, to whoever looks and to whoever leases it.
pub async fn a_mail_survives_the_round_trip(store: Arc<dyn Store>) -> Outcome {
    must!(!has_due(&*store, after(1_000)).await?, "an empty outbox has a mail that is due");
    let mut written = vec![mail(0, "Plain@mail.example")?];
    for (seconds, kind) in (1..).zip(KINDS) {
        written.push(Mail {
            kind,
            user_id: Some(user()?.id),
            other_address: Some(address("Other.Name+tag@xn--bcher-kva.example")?),
            locale: Locale::parse("pt-BR").ok(),
            client: Client {
                ip: "2001:db8::7".parse().ok(),
                user_agent: Some(UserAgent::sanitized("agent \"7\"; '--")),
                ..Client::default()
            },
            ..mail(seconds, "Full.Name+tag@mail.example")?
        });
    }
    for mail in &written {
        push(&*store, mail).await?;
        must!(has_due(&*store, mail.created_at).await?, "a mail was not due at once");
        let Some(found) = find(&*store, mail.id).await? else {
            return Err(Violation::Broken(format!("{:?} was not found", mail.kind)));
        };
        must!(found.mail == *mail, "the mail came back as {:?}", found.mail);
        must!(found.due_at.is_some(), "a new mail is a dead letter");
        must!(found.locked_until.is_none() && found.last_error.is_none(), "somebody was at work on a new mail");
    }
    let leased = lease(&*store, after(100), after(200), 100).await?;
    must!(leased == written, "the mails were leased as {leased:?}");
    must!(find(&*store, mail_id(0)?).await?.is_none(), "an unknown mail was found");
    Ok(())
}

/// A crowd that leases at once, and whoever comes after it, get every mail exactly once.
pub async fn every_mail_is_leased_once(store: Arc<dyn Store>) -> Outcome {
    const LIMIT: u32 = 2;
    let mut expected = Vec::new();
    for n in 0..2 * CROWD as u64 {
        expected.push(pushed(&*store, n, &format!("ada@domain-{}.example", n % 7)).await?.id);
    }
    let writer = Arc::clone(&store);
    let mut batches = crowd(move |_| {
        let store = Arc::clone(&writer);
        async move { lease(&*store, after(1_000), after(2_000), LIMIT).await }
    })
    .await?;
    // Whoever came while others were choosing may have got less than there was.
    loop {
        let batch = lease(&*store, after(1_000), after(2_000), LIMIT).await?;
        if batch.is_empty() {
            break;
        }
        batches.push(batch);
    }
    for batch in &batches {
        let domains: BTreeSet<_> = batch.iter().map(|mail| mail.to.domain()).collect();
        must!(batch.len() <= LIMIT as usize, "{} mails were leased where {LIMIT} were asked for", batch.len());
        must!(domains.len() <= 1, "one lease holds {domains:?}");
    }
    let mut leased: Vec<_> = batches.iter().flat_map(|batch| ids(batch)).collect();
    leased.sort_unstable();
    must!(leased == expected, "{} leases were given of {} mails", leased.len(), expected.len());
    Ok(())
}

/// A leased mail is nobody else's before its lease ends, and anybody's from then on.
pub async fn a_lease_excludes_others_until_it_ends(store: Arc<dyn Store>) -> Outcome {
    let mail = pushed(&*store, 0, "ada@mail.example").await?;
    must!(lease(&*store, NOW, after(10), 9).await? == [mail.clone()], "a due mail was not leased");
    let locked_until = find(&*store, mail.id).await?.and_then(|queued| queued.locked_until);
    must!(locked_until == Some(after(10)), "the lease is shown to end at {locked_until:?}");
    must!(!has_due(&*store, after(9)).await?, "a leased mail is due");
    must!(lease(&*store, after(9), after(30), 9).await?.is_empty(), "a mail was leased twice");
    must!(!requeue(&*store, mail.id, after(9)).await?, "a mail was requeued while somebody was at work on it");
    must!(has_due(&*store, after(10)).await?, "a mail is not due when its lease has ended");
    must!(lease(&*store, after(10), after(20), 9).await? == [mail], "nobody got the mail after its lease");
    Ok(())
}

/// Whoever has lost a lease to somebody else, or never had it, ends nothing.
pub async fn a_lost_lease_ends_nothing(store: Arc<dyn Store>) -> Outcome {
    let mail = pushed(&*store, 0, "ada@mail.example").await?;
    must!(!finish(&*store, mail.id, after(10)).await?, "a mail was finished that nobody had leased");
    must!(!postpone(&*store, mail.id, after(10), None, 7).await?, "a mail was postponed that nobody had leased");
    lease(&*store, NOW, after(10), 9).await?;
    lease(&*store, after(10), after(20), 9).await?;
    let before = find(&*store, mail.id).await?;
    let mut unit = store.write().await?;
    must!(!unit.outbox().hold_lease(mail.id, after(10)).await?, "a lost lease was held");
    must!(unit.outbox().hold_lease(mail.id, after(20)).await?, "a standing lease was not held");
    must!(!unit.outbox().hold_lease(mail_id(0)?, after(20)).await?, "the lease of an unknown mail was held");
    drop(unit);
    must!(!finish(&*store, mail.id, after(10)).await?, "a mail was finished after its lease was lost");
    for due_at in [None, Some(after(99))] {
        must!(!postpone(&*store, mail.id, after(10), due_at, 7).await?, "a lost lease postponed the mail");
    }
    let found = find(&*store, mail.id).await?;
    must!(found == before && found.is_some(), "a lost lease made the mail {found:?}");
    must!(finish(&*store, mail.id, after(20)).await?, "the standing lease could not be finished");
    must!(!finish(&*store, mail.id, after(20)).await?, "a mail was finished twice");
    must!(find(&*store, mail.id).await?.is_none(), "a finished mail is still there");
    Ok(())
}

/// While one unit holds a lease, another does not end it.
pub async fn a_held_lease_stays_until_the_unit_ends(store: Arc<dyn Store>) -> Outcome {
    let mail = pushed(&*store, 0, "ada@mail.example").await?;
    lease(&*store, NOW, after(10), 9).await?;
    let mut holder = store.write().await?;
    must!(holder.outbox().hold_lease(mail.id, after(10)).await?, "a standing lease was not held");

    let ended = Arc::new(AtomicBool::new(false));
    let (flag, other, id) = (Arc::clone(&ended), Arc::clone(&store), mail.id);
    let ender = tokio::spawn(async move {
        let mut unit = other.write().await?;
        let finished = unit.outbox().finish(id, after(10)).await?;
        flag.store(true, Ordering::SeqCst);
        unit.commit().await?;
        Ok::<_, StoreError>(finished)
    });
    for _ in 0..CROWD {
        tokio::task::yield_now().await;
        must!(holder.outbox().find(mail.id).await?.is_some(), "the mail of a held lease is gone");
        must!(!ended.load(Ordering::SeqCst), "another unit ended a held lease");
    }
    holder.commit().await?;
    let finished = ender.await.map_err(|error| Violation::Broken(error.to_string()))??;
    must!(finished, "the lease did not stand after it had been held");
    Ok(())
}

/// A lease holds mails to one domain, and takes a domain that nobody is at work on before one that somebody is.
pub async fn a_slow_domain_holds_up_no_other(store: Arc<dyn Store>) -> Outcome {
    let slow = [
        pushed(&*store, 0, "ada@slow.example").await?.id,
        pushed(&*store, 1, "bob@SLOW.example").await?.id,
        pushed(&*store, 2, "eve@slow.example").await?.id,
    ];
    let fast = [pushed(&*store, 3, "ada@fast.example").await?.id];
    let [first, rest @ ..] = &slow;
    let mut taken = Vec::new();
    for limit in [1, 9, 9, 9] {
        taken.push(ids(&lease(&*store, after(10), after(20), limit).await?));
    }
    let expected = [vec![*first], fast.to_vec(), rest.to_vec(), Vec::new()];
    must!(taken == expected, "{taken:?} were leased, {expected:?} had to be");
    Ok(())
}

/// A domain whose lease has run out is again one that nobody is at work on.
pub async fn a_domain_is_idle_when_its_leases_have_ended(store: Arc<dyn Store>) -> Outcome {
    let once_slow = pushed(&*store, 0, "ada@slow.example").await?.id;
    must!(ids(&lease(&*store, NOW, after(10), 9).await?) == [once_slow], "a due mail was not leased");
    let later = pushed(&*store, 1, "ada@fast.example").await?.id;
    for expected in [once_slow, later] {
        let leased = ids(&lease(&*store, after(10), after(20), 9).await?);
        must!(leased == [expected], "{leased:?} were leased, {expected:?} had to be");
    }
    Ok(())
}

/// When more is due than is asked for, the mails that have been due the longest are leased, whatever their ids.
pub async fn the_longest_due_are_leased(store: Arc<dyn Store>) -> Outcome {
    let mut queued = Vec::new();
    for (seconds, due) in [(0, 3), (1, 2), (2, 1)] {
        let mail = Mail { created_at: after(due), ..mail(seconds, "ada@mail.example")? };
        push(&*store, &mail).await?;
        queued.push(mail.id);
    }
    let mut leased = ids(&lease(&*store, after(10), after(20), 2).await?);
    leased.sort_unstable();
    must!(queued.ends_with(&leased) && leased.len() == 2, "{leased:?} of {queued:?} were leased");
    Ok(())
}

/// The mails of one lease are in the order in which they became due.
pub async fn leased_mails_are_in_the_order_they_became_due(store: Arc<dyn Store>) -> Outcome {
    let mut expected = Vec::new();
    for (seconds, due) in [(0, 3), (1, 2), (2, 1)] {
        let mail = Mail { created_at: after(due), ..mail(seconds, "ada@mail.example")? };
        push(&*store, &mail).await?;
        expected.insert(0, mail.id);
    }
    let leased = ids(&lease(&*store, after(10), after(20), 9).await?);
    must!(leased == expected, "{leased:?} were leased, {expected:?} had to be");
    Ok(())
}

/// A postponed mail is due at its moment and not before, and remembers what happened.
pub async fn a_postponed_mail_is_due_at_its_moment(store: Arc<dyn Store>) -> Outcome {
    let mail = pushed(&*store, 0, "ada@mail.example").await?;
    lease(&*store, NOW, after(10), 9).await?;
    must!(postpone(&*store, mail.id, after(10), Some(after(60)), 3).await?, "a leased mail was not postponed");
    let tried = Mail { attempts: 3, ..mail.clone() };
    let expected = QueuedMail {
        mail: tried.clone(),
        due_at: Some(after(60)),
        locked_until: None,
        last_error: Some("450 \"try\" again; '--".to_owned()),
    };
    let found = find(&*store, mail.id).await?;
    must!(found.as_ref() == Some(&expected), "the postponed mail is {found:?}");
    must!(!postpone(&*store, mail.id, after(10), Some(after(5)), 9).await?, "an ended lease postponed the mail again");
    must!(!has_due(&*store, after(59)).await?, "a postponed mail was due before its moment");
    must!(lease(&*store, after(59), after(99), 9).await?.is_empty(), "a postponed mail was leased before its moment");
    must!(has_due(&*store, after(60)).await?, "a postponed mail was not due at its moment");
    must!(lease(&*store, after(60), after(99), 9).await? == [tried], "a postponed mail was not leased at its moment");
    Ok(())
}

/// A dead letter is listed and never leased, until it is requeued.
pub async fn a_dead_letter_waits_to_be_requeued(store: Arc<dyn Store>) -> Outcome {
    let mail = pushed(&*store, 0, "ada@mail.example").await?;
    lease(&*store, NOW, after(10), 9).await?;
    must!(postpone(&*store, mail.id, after(10), None, 1).await?, "a leased mail could not be given up");
    must!(!has_due(&*store, after(1_000_000)).await?, "a dead letter is due");
    must!(lease(&*store, after(1_000_000), after(2_000_000), 9).await?.is_empty(), "a dead letter was leased");
    let listed = store.read().await?.outbox().list(9).await?;
    must!(listed.len() == 1, "{} mails are listed", listed.len());
    let dead = listed.iter().all(|queued| {
        (queued.mail.id, queued.due_at, queued.locked_until, queued.last_error.is_some()) == (mail.id, None, None, true)
    });
    must!(dead, "the dead letter is listed as {listed:?}");
    must!(!requeue(&*store, mail_id(0)?, after(100)).await?, "an unknown mail was requeued");
    must!(requeue(&*store, mail.id, after(100)).await?, "a dead letter was not requeued");
    must!(!has_due(&*store, after(99)).await?, "a requeued mail is due before it was requeued");
    must!(ids(&lease(&*store, after(100), after(200), 9).await?) == [mail.id], "a requeued mail was not leased");
    Ok(())
}

/// A mail that waits for its moment, or whose lease has run out, can be requeued as well.
pub async fn a_mail_that_nobody_works_on_is_requeued(store: Arc<dyn Store>) -> Outcome {
    let mail = pushed(&*store, 0, "ada@mail.example").await?;
    lease(&*store, NOW, after(10), 9).await?;
    must!(postpone(&*store, mail.id, after(10), Some(after(500)), 1).await?, "a leased mail was not postponed");
    must!(requeue(&*store, mail.id, after(20)).await?, "a postponed mail was not requeued");
    must!(ids(&lease(&*store, after(20), after(30), 9).await?) == [mail.id], "a requeued mail was not leased");
    must!(requeue(&*store, mail.id, after(30)).await?, "a mail was not requeued after its lease");
    must!(!finish(&*store, mail.id, after(30)).await?, "a lease outlived the requeueing");
    must!(has_due(&*store, after(30)).await?, "a requeued mail is not due");
    Ok(())
}

/// Mails are listed oldest first, up to a number.
pub async fn mails_are_listed_oldest_first(store: Arc<dyn Store>) -> Outcome {
    let mut mails = Vec::new();
    for seconds in [2, 0, 1] {
        mails.push(pushed(&*store, seconds, "ada@mail.example").await?);
    }
    mails.sort_unstable_by_key(|mail| mail.id);
    // Leased and waiting ones are listed alike.
    lease(&*store, after(10), after(20), 1).await?;
    for limit in [2, 9] {
        let listed = store.read().await?.outbox().list(limit).await?;
        let listed: Vec<_> = listed.into_iter().map(|queued| queued.mail).collect();
        let expected: Vec<_> = mails.iter().take(limit as usize).cloned().collect();
        must!(listed == expected, "{listed:?} are listed, {expected:?} had to be");
    }
    Ok(())
}

/// A mail is removed once, and not while somebody is at work on it.
pub async fn a_mail_that_nobody_works_on_is_removed(store: Arc<dyn Store>) -> Outcome {
    let (leased, waiting) =
        (pushed(&*store, 0, "ada@mail.example").await?.id, pushed(&*store, 1, "bob@mail.example").await?.id);
    lease(&*store, NOW, after(10), 9).await?;
    for (id, seconds, expected) in
        [(leased, 9, false), (waiting, 9, true), (waiting, 9, false), (leased, 10, true), (leased, 10, false)]
    {
        let mut unit = store.write().await?;
        let removed = unit.outbox().remove(id, after(seconds)).await?;
        unit.commit().await?;
        must!(removed == expected, "a mail was removed in second {seconds}: {removed}");
    }
    must!(store.read().await?.outbox().list(9).await?.is_empty(), "a removed mail is listed");
    Ok(())
}

/// Mails of every kind. First those of a user: to their address in another spelling without naming them, and naming
/// them to another address. Then a stranger's, some of which name the user's as the other address.
async fn mails_of_two(store: &dyn Store) -> Result<(User, Vec<Mail>, Vec<Mail>), Violation> {
    let (user, stranger) = (user()?, user()?);
    let (mut theirs, mut strangers) = (Vec::new(), Vec::new());
    for kind in KINDS {
        theirs.push(Mail { kind, ..mail(0, &user.email.as_str().to_uppercase())? });
        theirs.push(Mail { kind, user_id: Some(user.id), ..mail(0, "elsewhere@mail.example")? });
        strangers.push(Mail { kind, user_id: Some(stranger.id), ..mail(0, "stranger@mail.example")? });
        let other_address = Some(user.email.clone());
        strangers.push(Mail { kind, other_address, ..mail(0, "stranger@mail.example")? });
    }
    for mail in theirs.iter().chain(&strangers) {
        push(store, mail).await?;
    }
    Ok((user, theirs, strangers))
}

async fn left(store: &dyn Store) -> Result<BTreeSet<MailId>, StoreError> {
    Ok(store.read().await?.outbox().list(1_000).await?.into_iter().map(|queued| queued.mail.id).collect())
}

/// Cancelling takes what would let somebody act, of a user and to their address. Notices stay, and so does the offer
/// to undo a change of addresses, whose token is issued with the change.
pub async fn cancelling_takes_the_mails_with_tokens(store: Arc<dyn Store>) -> Outcome {
    const CANCELLED: [MailKind; 3] = [MailKind::VerifyEmail, MailKind::ResetPassword, MailKind::ChangeEmail];
    let (user, theirs, strangers) = mails_of_two(&*store).await?;
    let mut unit = store.write().await?;
    unit.outbox().cancel(user.id, &user.email).await?;
    unit.commit().await?;
    let left = left(&*store).await?;
    for mail in &theirs {
        let (kind, stays) = (mail.kind, !CANCELLED.contains(&mail.kind));
        must!(left.contains(&mail.id) == stays, "a mail of {kind:?} stayed: {}", !stays);
    }
    must!(strangers.iter().all(|mail| left.contains(&mail.id)), "a stranger's mail was cancelled");
    Ok(())
}

/// Erasing takes every mail of a user and to their address, and nobody else's.
pub async fn erasing_takes_every_mail(store: Arc<dyn Store>) -> Outcome {
    let (user, _, strangers) = mails_of_two(&*store).await?;
    let mut unit = store.write().await?;
    unit.outbox().erase(user.id, &user.email).await?;
    unit.commit().await?;
    let expected: BTreeSet<_> = strangers.iter().map(|mail| mail.id).collect();
    let left = left(&*store).await?;
    must!(left == expected, "{} mails are left, {} had to be", left.len(), expected.len());
    Ok(())
}
