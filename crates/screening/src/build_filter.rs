use std::fs::Permissions;
use std::io::{self, BufRead, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use thiserror::Error;

use crate::digest::key_of;
use crate::file_format::{FilterError, HEAD, Index, Shard};
use crate::fuse::Fuse;
use crate::hash_list::{HashList, LineProblem};
use crate::password_filter::PasswordFilter;

/// How many keys are held in memory at once, which takes about 100 MB. The whole public list has a few hundred shards of
/// this size.
const SHARD: usize = 1 << 21;

/// Why no filter was built. There is none at its path then, or still the one that was there before.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The list cannot be read.
    #[error("the list cannot be read")]
    Read(#[source] io::Error),
    /// A line of the list cannot be taken.
    #[error("line {number} of the list {problem}")]
    Line {
        /// Its number, from 1.
        number: u64,
        /// What is wrong with it.
        problem: LineProblem,
    },
    /// A filter of nothing would refuse nothing, which nobody wants.
    #[error("the list has no hash that is to be taken")]
    Empty,
    /// The filter cannot be written.
    #[error("the filter cannot be written")]
    Write(#[source] io::Error),
    /// No filter can hold these hashes. It does not happen with lists of real passwords.
    #[error("the list cannot be made into a filter")]
    Unbuildable,
    /// The finished filter does not read as it was written.
    #[error("the filter that was written {0}")]
    Unsound(#[source] FilterError),
}

/// Builds a filter from a list of SHA-1 hashes, `HASH` or `HASH:COUNT` a line, sorted by hash; takes those with a count of
/// `min_count` at least, and with 1 also those without a count. The same list gives the same file.
///
/// Reads the list once and holds a bounded part of it. The filter is written beside its path, read through, and renamed:
/// whoever uses one of that path goes on with it until it is opened again. Everybody on the machine may read it, as
/// everybody may read the list.
///
/// # Errors
///
/// [`BuildError`].
pub fn build_filter(list: impl BufRead, min_count: u64, path: &Path) -> Result<PasswordFilter, BuildError> {
    build(list, min_count, path, SHARD)
}

fn build(list: impl BufRead, min_count: u64, path: &Path, shard: usize) -> Result<PasswordFilter, BuildError> {
    let mut list = HashList::new(list);
    let mut draft = Draft::beside(path).map_err(BuildError::Write)?;
    let mut keys: Vec<u64> = Vec::new();
    let mut last = None;
    while let Some(listed) = list.next()? {
        match listed.count {
            Some(count) if count < min_count => continue,
            None if min_count > 1 => return Err(list.complain(LineProblem::NoCount)),
            Some(_) | None => {}
        }
        let key = key_of(&listed.hash);
        if last == Some(key) {
            continue;
        }
        last = Some(key);
        keys.push(key);
        if keys.len() == shard {
            draft.add(&keys)?;
            keys.clear();
        }
    }
    if !keys.is_empty() {
        draft.add(&keys)?;
    }
    draft.finish(path)
}

/// A filter that is being written.
struct Draft {
    file: BufWriter<NamedTempFile>,
    digest: Sha256,
    index: Index,
}

impl Draft {
    fn beside(path: &Path) -> io::Result<Self> {
        if path.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = BufWriter::new(NamedTempFile::new_in(folder)?);
        // The head comes last, when all of it is known.
        file.write_all(&[0; HEAD])?;
        let index = Index { entries: 0, shards: Vec::new(), fingerprints: 0, digest: [0; 32] };
        Ok(Self { file, digest: Sha256::new(), index })
    }

    /// Adds a shard of keys that are sorted, greater than all before, and all different.
    fn add(&mut self, keys: &[u64]) -> Result<(), BuildError> {
        let least = *keys.first().ok_or(BuildError::Empty)?;
        let Fuse { shape, seed, fingerprints } = Fuse::build(keys).ok_or(BuildError::Unbuildable)?;
        self.file.write_all(&fingerprints).map_err(BuildError::Write)?;
        self.digest.update(&fingerprints);
        self.index.shards.push(Shard { least, seed, shape, start: self.index.fingerprints });
        self.index.fingerprints += fingerprints.len();
        self.index.entries += u64::try_from(keys.len()).map_err(|_| BuildError::Unbuildable)?;
        Ok(())
    }

    /// Gives the filter its head, reads it through, and puts it into its place.
    fn finish(self, path: &Path) -> Result<PasswordFilter, BuildError> {
        let Self { mut file, digest, mut index } = self;
        if index.entries == 0 {
            return Err(BuildError::Empty);
        }
        index.digest = digest.finalize().into();
        let (head, table) = index.encode().ok_or(BuildError::Unbuildable)?;
        let written = file.write_all(&table).and_then(|()| file.seek(SeekFrom::Start(0)));
        written.and_then(|_| file.write_all(&head)).map_err(BuildError::Write)?;
        let file = file.into_inner().map_err(|error| BuildError::Write(error.into_error()))?;
        file.as_file().set_permissions(Permissions::from_mode(0o644)).map_err(BuildError::Write)?;
        file.as_file().sync_all().map_err(BuildError::Write)?;
        let filter = PasswordFilter::open(file.path()).map_err(BuildError::Unsound)?;
        filter.verify().map_err(BuildError::Unsound)?;
        file.persist(path).map_err(|error| BuildError::Write(error.error))?;
        Ok(filter)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::{hash_line, list_of, numbered};

    /// Builds a filter of a list in a folder of its own.
    fn built(list: &str, min_count: u64, shard: usize) -> Result<(PasswordFilter, Vec<u8>), BuildError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("filter");
        let outcome = build(list.as_bytes(), min_count, &path, shard);
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        match outcome {
            Ok(filter) => {
                assert_eq!(names, ["filter"]);
                Ok((filter, fs::read(&path).unwrap()))
            }
            Err(error) => {
                assert!(names.is_empty(), "a failed build leaves {names:?} behind");
                Err(error)
            }
        }
    }

    #[test]
    fn every_entry_is_found_however_the_list_is_cut_into_shards() {
        let list = list_of(0..3_000);
        for shard in [1, 2, 7, 1_000, 2_999, 3_000, 3_001] {
            let (filter, _) = built(&list, 1, shard).unwrap();
            assert_eq!(filter.entries(), 3_000);
            assert!((0..3_000).all(|n| filter.holds(&numbered(n))), "shards of {shard}");
        }
    }

    #[test]
    fn a_short_list_has_no_more_false_alarms_than_a_long_one() {
        for count in [1, 2, 10, 100] {
            let (filter, _) = built(&list_of(0..count), 1, SHARD).unwrap();
            assert!((0..count).all(|n| filter.holds(&numbered(n))), "{count}");
            let alarms = (1_000_000..1_010_000).filter(|n| filter.holds(&numbered(*n))).count();
            assert!(alarms < 100, "{alarms} false alarms with {count} entries");
        }
    }

    #[test]
    fn a_list_of_ten_thousand_takes_at_most_two_bytes_an_entry() {
        let (_, bytes) = built(&list_of(0..10_000), 1, SHARD).unwrap();
        assert!(bytes.len() <= 20_000, "{} bytes", bytes.len());
    }

    #[test]
    fn the_same_list_gives_the_same_file_whatever_its_letters_ends_and_repetitions() {
        let list = list_of(0..2_000);
        let (_, bytes) = built(&list, 1, 500).unwrap();
        let doubled = list.lines().map(|line| format!("{line}\n{line}:4\n")).collect::<Vec<_>>().concat();
        for same in [list.clone(), list.to_lowercase(), list.replace('\n', "\r\n"), doubled] {
            assert!(built(&same, 1, 500).unwrap().1 == bytes);
        }
    }

    #[test]
    fn a_least_count_leaves_out_what_was_found_less_often() {
        let mut lines: Vec<String> = (0..300).map(|n| format!("{}:{}", hash_line(n), n % 10)).collect();
        lines.sort();
        let list = lines.join("\n");
        assert_eq!(built(&list, 1, SHARD).unwrap().0.entries(), 270);
        let (filter, _) = built(&list, 7, SHARD).unwrap();
        assert_eq!(filter.entries(), 90);
        assert!((0..300).filter(|n| n % 10 >= 7).all(|n| filter.holds(&numbered(n))));
    }

    #[test]
    fn a_list_that_cannot_be_taken_leaves_no_file() {
        for (list, min_count, expected) in [
            (String::new(), 1, "the list has no hash that is to be taken"),
            ("\n\r\n\n".to_owned(), 1, "the list has no hash that is to be taken"),
            (format!("{}:3", hash_line(1)), 4, "the list has no hash that is to be taken"),
            (format!("{}:3\npassword\n", hash_line(1)), 1, "line 2 of the list is no SHA-1 hash"),
            (format!("{}\n{}\n", "F".repeat(40), "0".repeat(40)), 1, "line 2 of the list is out of order"),
            (hash_line(1), 2, "line 1 of the list has no count"),
        ] {
            let error = built(&list, min_count, SHARD).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{list:?}: {error}");
        }
    }

    #[test]
    fn a_failed_build_leaves_the_filter_that_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("filter");
        build_filter(list_of(0..100).as_bytes(), 1, &path).unwrap();
        assert!(build_filter(&b"garbage"[..], 1, &path).is_err());
        assert_eq!(PasswordFilter::open(&path).unwrap().entries(), 100);
        assert!(matches!(build_filter(list_of(0..100).as_bytes(), 1, folder.path()), Err(BuildError::Write(_))));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    }

    #[test]
    fn a_filter_that_is_replaced_stays_as_it_was_for_who_has_opened_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("filter");
        let before = build_filter(list_of(0..100).as_bytes(), 1, &path).unwrap();
        build_filter(list_of(100..200).as_bytes(), 1, &path).unwrap();
        assert!((0..100).all(|n| before.holds(&numbered(n))));
        assert!((100..200).all(|n| PasswordFilter::open(&path).unwrap().holds(&numbered(n))));
    }
}
