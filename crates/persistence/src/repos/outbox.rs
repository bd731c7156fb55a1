use std::net::IpAddr;

use async_trait::async_trait;
use doorward_domain::store::{Allowance, Outbox};
use doorward_domain::{
    Client, EmailAddress, Locale, Mail, MailId, MailKind, QueuedMail, StoreError, Timestamp, UserAgent, UserId,
};

use super::leases::{LeasedTable, leased, leased_table};
use super::{column, moment, optional_moment};
use crate::dialect::{Dialect, Statement};
use crate::error::corrupt;
use crate::unit::Unit;

/// What [`mail`] reads.
macro_rules! mail_columns {
    () => {
        "id, kind, address, user_id, other_address, locale, ip, user_agent, created_at, attempts"
    };
}
macro_rules! queued_mail_columns {
    () => {
        concat!(mail_columns!(), ", due_at, locked_until, last_error")
    };
}

// A domain that somebody is at work on comes last. Of those that are left, the one that has waited longest.
macro_rules! in_next_domain {
    () => {
        "domain = \
         (SELECT o.domain FROM outbox o WHERE o.due_at <= $1 AND (o.locked_until IS NULL OR o.locked_until <= $1) \
         ORDER BY EXISTS (SELECT 1 FROM outbox b WHERE b.domain = o.domain AND b.locked_until > $1), o.due_at LIMIT 1)"
    };
}

const TABLE: LeasedTable = leased_table!("outbox", in_next_domain!(), mail_columns!());

fn mail<D: Dialect>(row: &D::Row) -> Result<Mail, StoreError> {
    let unknown = || corrupt::<String>("kind")("a name that this version does not know".to_owned());
    let address = |name| column::<D, Option<String>>(row, name);
    let read = |text: String| EmailAddress::parse(&text).map_err(corrupt("address"));
    let locale = column::<D, Option<String>>(row, "locale")?;
    let ip = column::<D, Option<String>>(row, "ip")?;
    Ok(Mail {
        id: MailId::from_uuid(column::<D, _>(row, "id")?),
        kind: MailKind::from_name(&column::<D, String>(row, "kind")?).ok_or_else(unknown)?,
        to: read(column::<D, String>(row, "address")?)?,
        user_id: column::<D, Option<_>>(row, "user_id")?.map(UserId::from_uuid),
        other_address: address("other_address")?.map(read).transpose()?,
        locale: locale.map(|text| Locale::parse(&text)).transpose().map_err(corrupt("locale"))?,
        client: Client {
            ip: ip.map(|ip| ip.parse::<IpAddr>()).transpose().map_err(corrupt("address"))?,
            user_agent: column::<D, Option<String>>(row, "user_agent")?.as_deref().map(UserAgent::sanitized),
            ..Client::default()
        },
        created_at: moment::<D>(row, "created_at")?,
        attempts: u32::try_from(column::<D, i64>(row, "attempts")?).map_err(corrupt("attempts"))?,
    })
}

fn queued_mail<D: Dialect>(row: &D::Row) -> Result<QueuedMail, StoreError> {
    Ok(QueuedMail {
        mail: mail::<D>(row)?,
        due_at: optional_moment::<D>(row, "due_at")?,
        locked_until: optional_moment::<D>(row, "locked_until")?,
        last_error: column::<D, _>(row, "last_error")?,
    })
}

#[async_trait]
impl<D: Dialect> Outbox for Unit<D> {
    async fn take_allowance(
        &mut self,
        address: &EmailAddress,
        allowance: Allowance,
        now: Timestamp,
        since: Timestamp,
    ) -> Result<bool, StoreError> {
        let allowance = match allowance {
            Allowance::Requested => "requested",
            Allowance::LogIns => "log_ins",
            Allowance::Notices => "notices",
        };
        Statement::<D>::new(
            "INSERT INTO mail_allowances AS m (address_key, allowance, sent_1, sent_2, sent_3, sent_4, sent_5) \
             VALUES ($1, $2, 0, 0, 0, 0, $3) ON CONFLICT (address_key, allowance) DO UPDATE SET \
             sent_1 = m.sent_2, sent_2 = m.sent_3, sent_3 = m.sent_4, sent_4 = m.sent_5, sent_5 = excluded.sent_5 \
             WHERE m.sent_1 <= $4",
        )
        .bind(address.canonical())
        .bind(allowance.to_owned())
        .bind(now.unix_micros())
        .bind(since.unix_micros())
        .happened(self.connection())
        .await
    }

    async fn push(&mut self, mail: &Mail) -> Result<(), StoreError> {
        let Mail { id, kind, to, user_id, other_address, locale, client, created_at, attempts: _ } = mail;
        Statement::<D>::new(
            "INSERT INTO outbox (id, kind, address, address_key, domain, user_id, other_address, locale, ip, \
             user_agent, created_at, due_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)",
        )
        .bind(id.uuid())
        .bind(kind.as_str().to_owned())
        .bind(to.as_str().to_owned())
        .bind(to.canonical())
        .bind(to.domain().to_ascii_lowercase())
        .bind(user_id.map(UserId::uuid))
        .bind(other_address.as_ref().map(|address| address.as_str().to_owned()))
        .bind(locale.as_ref().map(|locale| locale.as_str().to_owned()))
        .bind(client.ip.map(|ip| ip.to_string()))
        .bind(client.user_agent.as_ref().map(|agent| agent.as_str().to_owned()))
        .bind(created_at.unix_micros())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    async fn has_due(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        let row = Statement::<D>::new(
            "SELECT id FROM outbox WHERE due_at <= $1 AND (locked_until IS NULL OR locked_until <= $1) LIMIT 1",
        )
        .bind(now.unix_micros())
        .fetch_optional(self.connection())
        .await?;
        Ok(row.is_some())
    }

    async fn lease(&mut self, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<Mail>, StoreError> {
        let rows = TABLE.lease::<D>(now, until, limit).fetch_all(self.connection()).await?;
        leased::<D, _>(&rows, mail::<D>)
    }

    async fn hold_lease(&mut self, id: MailId, until: Timestamp) -> Result<bool, StoreError> {
        TABLE.hold_lease::<D>(self.connection(), id.uuid(), until).await
    }

    async fn finish(&mut self, id: MailId, until: Timestamp) -> Result<bool, StoreError> {
        TABLE.finish::<D>(self.connection(), id.uuid(), until).await
    }

    async fn postpone(
        &mut self,
        id: MailId,
        until: Timestamp,
        due_at: Option<Timestamp>,
        attempts: u32,
        error: &str,
    ) -> Result<bool, StoreError> {
        TABLE.postpone::<D>(self.connection(), (id.uuid(), until), due_at, attempts, error).await
    }

    async fn cancel(&mut self, user_id: UserId, address: &EmailAddress) -> Result<(), StoreError> {
        Statement::<D>::new(
            "DELETE FROM outbox WHERE (user_id = $1 OR (user_id IS NULL AND address_key = $2)) \
             AND kind IN ('verify_email', 'reset_password', 'change_email')",
        )
        .bind(user_id.uuid())
        .bind(address.canonical())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    async fn erase(&mut self, user_id: UserId, address: &EmailAddress) -> Result<(), StoreError> {
        Statement::<D>::new("DELETE FROM outbox WHERE user_id = $1 OR (user_id IS NULL AND address_key = $2)")
            .bind(user_id.uuid())
            .bind(address.canonical())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    async fn list(&mut self, limit: u32) -> Result<Vec<QueuedMail>, StoreError> {
        let rows = Statement::<D>::new(concat!("SELECT ", queued_mail_columns!(), " FROM outbox ORDER BY id LIMIT $1"))
            .bind(i64::from(limit))
            .fetch_all(self.connection())
            .await?;
        rows.iter().map(queued_mail::<D>).collect()
    }

    async fn find(&mut self, id: MailId) -> Result<Option<QueuedMail>, StoreError> {
        let row = Statement::<D>::new(concat!("SELECT ", queued_mail_columns!(), " FROM outbox WHERE id = $1"))
            .bind(id.uuid())
            .fetch_optional(self.connection())
            .await?;
        row.as_ref().map(queued_mail::<D>).transpose()
    }

    async fn requeue(&mut self, id: MailId, now: Timestamp) -> Result<bool, StoreError> {
        TABLE.requeue::<D>(self.connection(), id.uuid(), now).await
    }

    async fn remove(&mut self, id: MailId, now: Timestamp) -> Result<bool, StoreError> {
        TABLE.remove::<D>(self.connection(), id.uuid(), now).await
    }

    async fn forget_allowances(&mut self, moment: Timestamp, limit: u32) -> Result<u64, StoreError> {
        Statement::<D>::new(
            "DELETE FROM mail_allowances WHERE (address_key, allowance) IN \
             (SELECT address_key, allowance FROM mail_allowances WHERE sent_5 < $1 LIMIT $2) AND sent_5 < $1",
        )
        .bind(moment.unix_micros())
        .bind(i64::from(limit))
        .execute(self.connection())
        .await
    }
}
