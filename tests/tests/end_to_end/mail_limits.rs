//! Nobody's mailbox is flooded: five mails an hour to one address, however they are asked for.

use doorward_tests::smtp::page;

use crate::mail_steps::{SOON, mail_for, mail_has_settled, on_both, verified};

const LIMIT: usize = 5;
const SPELLINGS: [&str; 4] = ["Ada@example.com", "ada@example.com", "ADA@EXAMPLE.COM", "aDa@Example.Com"];

#[tokio::test]
async fn one_address_gets_five_mails_an_hour_and_the_answers_stay_the_same() {
    on_both(&[], async |_, client, sink| {
        verified(&client, sink, SPELLINGS[0]).await;
        let registered = client.register(SPELLINGS[1]).await;
        sink.wait_for_nth(SPELLINGS[0], 2, SOON).await;
        let reset = client.request_reset(SPELLINGS[2]).await;
        sink.wait_for_nth(SPELLINGS[0], 3, SOON).await;
        // Of somebody else, since a request that sends nothing may count all the same.
        let resent = client.resend_verification("bob@example.com").await;
        for n in 4..=LIMIT {
            client.request_reset(SPELLINGS[n % 4]).await.answered(202);
            // A later link takes an earlier one's place, so it has to be out before the next is asked for.
            sink.wait_for_nth(SPELLINGS[0], n, SOON).await;
        }
        let last_reset = mail_for(sink, SPELLINGS[0], page::RESET_PASSWORD).await;

        for spelling in SPELLINGS {
            for (before, after) in [
                (&registered, client.register(spelling).await),
                (&reset, client.request_reset(spelling).await),
                (&resent, client.resend_verification(spelling).await),
            ] {
                after.answered(202);
                assert_eq!(before.text, after.text, "the answer changes when the limit is hit");
                let names = |answer: &doorward_tests::Answer| {
                    answer.headers.keys().map(|name| name.as_str().to_owned()).collect::<Vec<_>>()
                };
                assert_eq!(names(before), names(&after));
            }
        }
        // Another address has its own five, and is served.
        mail_has_settled(&client, sink, "eve@example.com").await;
        assert_eq!(sink.received_by(SPELLINGS[0]).len(), LIMIT, "mails within an hour");
        for spelling in &SPELLINGS[1..] {
            assert!(sink.received_by(spelling).is_empty(), "mail went to {spelling}, which nobody stored");
        }
        // A request that sends nothing takes nothing away either.
        let token = doorward_tests::smtp::token(&last_reset);
        client.confirm_reset(&token, "another horse, another staple").await.answered(204);
    })
    .await;
}

#[tokio::test]
async fn an_unverified_and_an_unknown_address_have_the_same_limit() {
    on_both(&[], async |_, client, sink| {
        client.register("ada@example.com").await.answered(202);
        sink.wait_for_nth("ada@example.com", 1, SOON).await;
        for n in 2..=LIMIT {
            client.resend_verification("ada@example.com").await.answered(202);
            sink.wait_for_nth("ada@example.com", n, SOON).await;
        }
        for _ in 0..LIMIT {
            client.resend_verification("ada@example.com").await.answered(202);
            client.request_reset("ada@example.com").await.answered(202);
            client.register("ADA@example.com").await.answered(202);
            client.request_reset("nobody@example.com").await.answered(202);
            client.resend_verification("nobody@example.com").await.answered(202);
        }
        mail_has_settled(&client, sink, "eve@example.com").await;
        assert_eq!(sink.received_by("ada@example.com").len(), LIMIT);
        assert!(sink.received_by("ADA@example.com").is_empty());
        assert!(sink.received_by("nobody@example.com").len() <= LIMIT);
    })
    .await;
}
