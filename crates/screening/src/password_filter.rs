use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use doorward_auth::password::{PasswordScreen, ScreenUnavailable};
use doorward_domain::Password;
use doorward_mapped::MappedFile;
use sha2::{Digest, Sha256};

use crate::digest::PasswordDigest;
use crate::file_format::{FilterError, HEAD, Index};
use crate::fuse;

/// A filter of breached passwords, asked where it lies on the disk. Cheap to clone.
///
/// A password that is in it is always found. One in 256 others is taken for one of them; its owner has to choose another.
///
/// The file is mapped into memory, so it must never be written into: build another and rename it into its place, as
/// [`build_filter`](crate::build_filter) does. The filter goes on with the one that it has opened.
#[derive(Clone, Debug)]
pub struct PasswordFilter(Arc<Opened>);

#[derive(Debug)]
struct Opened {
    file: MappedFile,
    index: Index,
}

impl PasswordFilter {
    /// Opens a filter. Looks at its head and its table alone, which takes no time to speak of, however large it is.
    ///
    /// # Errors
    ///
    /// [`FilterError`] when it is no filter, another version's, cut off, or damaged where it was looked at.
    pub fn open(path: &Path) -> Result<Self, FilterError> {
        let file = MappedFile::open(path)?;
        let index = Index::decode(&file)?;
        Ok(Self(Arc::new(Opened { file, index })))
    }

    /// Looks at all of it, which takes seconds for each gibibyte.
    ///
    /// # Errors
    ///
    /// [`FilterError::Damaged`] when a bit of it has changed since it was built.
    pub fn verify(&self) -> Result<(), FilterError> {
        let Opened { file, index } = &*self.0;
        let fingerprints = file.get(HEAD..).and_then(|rest| rest.get(..index.fingerprints));
        let found = <[u8; 32]>::from(Sha256::digest(fingerprints.ok_or(FilterError::Length)?));
        if found == index.digest { Ok(()) } else { Err(FilterError::Damaged) }
    }

    /// How many passwords it was built of.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.0.index.entries
    }

    /// How large its file is.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.file.len()
    }

    /// Whether a password is in it, or one of the few that cannot be told from those that are.
    #[must_use]
    pub fn holds(&self, password: &Password) -> bool {
        self.holds_key(PasswordDigest::of(password).key())
    }

    pub(crate) fn holds_key(&self, key: u64) -> bool {
        let Opened { file, index } = &*self.0;
        // The last shard that begins with this key or with one below; what is less than all keys is in none.
        let before = index.shards.partition_point(|shard| shard.least <= key);
        before.checked_sub(1).and_then(|last| index.shards.get(last)).is_some_and(|shard| {
            // Both ends are within the file: the table was checked when it was opened.
            let fingerprints = file.get(HEAD + shard.start..).and_then(|rest| rest.get(..shard.shape.length()));
            fingerprints.is_some_and(|bytes| fuse::holds(bytes, shard.shape, shard.seed, key))
        })
    }
}

#[async_trait]
impl PasswordScreen for PasswordFilter {
    /// Reads three bytes of the file, so it may wait for the disk, as long as a page takes.
    async fn is_common(&self, password: &Password) -> Result<bool, ScreenUnavailable> {
        Ok(self.holds(password))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::build_filter;
    use crate::testing::{list_of, numbered, password};

    #[test]
    fn listed_passwords_are_all_found_and_fewer_than_one_in_a_hundred_others() {
        const COUNT: u64 = 100_000;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("filter");
        build_filter(list_of(0..COUNT).as_bytes(), 1, &path).unwrap();

        let filter = PasswordFilter::open(&path).unwrap();

        assert_eq!(filter.entries(), COUNT);
        assert!(filter.bytes() <= 200_000, "{} bytes", filter.bytes());
        assert_eq!((0..COUNT).filter(|n| !filter.holds(&numbered(*n))).count(), 0, "listed passwords are missed");
        let alarms = (COUNT..2 * COUNT).filter(|n| filter.holds(&numbered(*n))).count();
        assert!(alarms < 1_000, "{alarms} false alarms");
    }

    #[test]
    fn a_file_that_is_cut_off_or_something_else_does_not_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("filter");
        build_filter(list_of(0..1_000).as_bytes(), 1, &path).unwrap();
        let whole = fs::read(&path).unwrap();
        for length in [0, 1, 7, 8, 50, 95, 96, 97, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            let outcome = PasswordFilter::open(&path);
            assert!(matches!(outcome, Err(FilterError::Foreign | FilterError::Length)), "{length}: {outcome:?}");
        }
        let missing = PasswordFilter::open(&folder.path().join("missing"));
        assert!(matches!(missing, Err(FilterError::Unreadable(_))), "{missing:?}");
    }

    #[test]
    fn a_changed_bit_anywhere_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("filter");
        build_filter(list_of(0..50).as_bytes(), 1, &path).unwrap();
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1 << (at % 8);
            let changed_path = folder.path().join("changed");
            fs::write(&changed_path, changed).unwrap();
            let outcome = PasswordFilter::open(&changed_path).and_then(|filter| filter.verify());
            assert!(outcome.is_err(), "byte {at}");
        }
        assert!(PasswordFilter::open(&path).unwrap().verify().is_ok());
    }

    #[tokio::test]
    async fn as_a_screen_it_finds_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("filter");
        let filter = build_filter("5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8:9\n".as_bytes(), 1, &path).unwrap();
        assert!(filter.is_common(&password("password")).await.unwrap());
        assert!(!filter.is_common(&password("correct horse battery staple")).await.unwrap());
    }
}
