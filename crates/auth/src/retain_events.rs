use std::time::Duration;

use doorward_domain::Timestamp;

use crate::unit::retrying;
use crate::{Auth, Fault};

/// How many entries one step deletes at most.
const BATCH: u32 = 500;

impl Auth {
    /// Deletes a batch of the oldest entries of the security log, those that are older than `retention`; says whether
    /// there may be more.
    ///
    /// The chain is cut behind the last of them, and the cut is sealed like its other end: so the rest can be verified
    /// as before, and nobody else can cut off more.
    ///
    /// # Errors
    ///
    /// [`Fault::Store`] when the database does not answer.
    pub async fn forget_events(&self, retention: Duration) -> Result<bool, Fault> {
        let before = self.now().minus(retention);
        if !self.has_older(before).await? {
            return Ok(false);
        }
        retrying(|| async {
            let mut unit = self.store().write().await?;
            let Some(ends) = unit.events().hold_chain().await? else { return Ok(false) };
            let batch = unit.events().sealed(ends.cut.position, BATCH).await?;
            let is_old = |at: Timestamp| at < before;
            // The place of one that somebody removed goes when an old one follows, and is evidence until then.
            let old = batch.iter().take_while(|sealed| sealed.record.as_ref().is_none_or(|record| is_old(record.at)));
            let Some(last) = old.filter(|sealed| sealed.record.is_some()).last() else { return Ok(false) };
            unit.events().cut(&self.parts().event_chain.cut(last.seal.position, last.seal.link)).await?;
            unit.commit().await?;
            Ok(last.seal.position == batch.last().map_or(0, |sealed| sealed.seal.position))
        })
        .await
    }

    async fn has_older(&self, before: Timestamp) -> Result<bool, Fault> {
        let mut unit = self.store().read().await?;
        let cut = unit.events().chain().await?.cut.position;
        let oldest = unit.events().sealed(cut, 1).await?;
        Ok(oldest.first().is_some_and(|sealed| sealed.record.as_ref().is_none_or(|record| record.at < before)))
    }
}
