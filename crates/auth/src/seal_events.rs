use doorward_domain::SecurityEvent;
use doorward_domain::store::EventSeal;

use crate::unit::retrying;
use crate::{Auth, Fault};

/// How many entries one step seals at most, so that no step holds the chain for long.
pub const SEAL_BATCH: u32 = 500;

impl Auth {
    /// Puts a batch of the entries of the security log that wait for it onto the chain; says whether there may be more.
    ///
    /// Entries are written without a look at the chain, so no log-in waits for another one because of it. However late
    /// an entry is committed, it waits here from then on. Of any number of nodes one seals at a time; the others find it
    /// at work and leave it to it. Who is to be told of an entry by a webhook is written down in the same unit.
    ///
    /// # Errors
    ///
    /// [`Fault::Store`] when the database does not answer.
    pub async fn seal_events(&self) -> Result<bool, Fault> {
        if !self.store().read().await?.events().has_unsealed().await? {
            return Ok(false);
        }
        let chain = &self.parts().event_chain;
        let sealed = retrying(|| async {
            let mut unit = self.store().write().await?;
            let Some(ends) = unit.events().hold_chain().await? else { return Ok(0) };
            let records = unit.events().unsealed(SEAL_BATCH).await?;
            let (mut position, mut link) = (ends.head.position, ends.head.link);
            let mut seals = Vec::with_capacity(records.len());
            for record in &records {
                position += 1;
                link = chain.link(&link, position, record);
                seals.push(EventSeal { position, event_id: record.id, link });
            }
            if seals.is_empty() {
                return Ok(0);
            }
            unit.events().seal(&seals, &chain.head(position, link)).await?;
            // What this version does not know it can tell nobody of.
            let events: Vec<SecurityEvent> = records.into_iter().filter_map(|record| record.try_into().ok()).collect();
            self.queue_webhooks(&mut *unit, &events).await?;
            unit.commit().await?;
            Ok(seals.len())
        })
        .await?;
        Ok(sealed >= SEAL_BATCH as usize)
    }
}
