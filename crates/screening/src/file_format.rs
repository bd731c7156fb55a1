//! What a filter's file holds, all numbers with the least byte first:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `DWFILTER` |
//! | 8 | 4 | the version of the format, 1 |
//! | 12 | 4 | how many shards there are |
//! | 16 | 8 | how many entries there are |
//! | 24 | 8 | how many bytes of fingerprints there are |
//! | 32 | 32 | the SHA-256 of the fingerprints |
//! | 64 | 32 | the SHA-256 of the 64 bytes before and the table of shards |
//! | 96 | | the fingerprints, shard after shard |
//! | then | 24 each | the table of shards: the least key (8), the seed (8), the bits of a segment (4), the segments (4) |
//!
//! A shard is what lies between two keys, so a filter is built from a sorted list one shard at a time. What has to be read
//! to open a file is a few kibibytes, however large it is, and has a checksum of its own.

use std::io;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::fuse::Shape;

const MAGIC: &[u8; 8] = b"DWFILTER";
const VERSION: u32 = 1;
/// Where the fingerprints begin.
pub(crate) const HEAD: usize = 96;
/// How much of the head its checksum is of.
const CHECKED: usize = 64;
const ROW: usize = 24;

/// Why a file is no filter.
#[derive(Debug, Error)]
pub enum FilterError {
    /// It cannot be read at all.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is something else.
    #[error("is no filter of `doorward passwords build-filter`")]
    Foreign,
    /// It was made by another version of Doorward.
    #[error("has version {0} of its format, and only version 1 is known")]
    Version(u32),
    /// It was cut off, or something was added to it.
    #[error("is not as long as it says")]
    Length,
    /// There is nothing in it, so it would let every password pass.
    #[error("has no entry")]
    Empty,
    /// It has changed since it was made.
    #[error("is damaged: its checksum is another one")]
    Damaged,
}

/// What has to be known to look for a key.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) entries: u64,
    pub(crate) shards: Vec<Shard>,
    pub(crate) fingerprints: usize,
    pub(crate) digest: [u8; 32],
}

/// One of the filters that a file is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    /// The least key in it. The next shard begins with a greater one.
    pub(crate) least: u64,
    pub(crate) seed: u64,
    pub(crate) shape: Shape,
    /// Where its fingerprints begin, counted from the first of all.
    pub(crate) start: usize,
}

impl Index {
    /// The head of the file, and the table at its end; `None` when there is too much to count.
    pub(crate) fn encode(&self) -> Option<([u8; HEAD], Vec<u8>)> {
        let mut table = Vec::with_capacity(self.shards.len() * ROW);
        for shard in &self.shards {
            let (segment_bits, segments) = shard.shape.parts();
            table.extend_from_slice(&shard.least.to_le_bytes());
            table.extend_from_slice(&shard.seed.to_le_bytes());
            table.extend_from_slice(&segment_bits.to_le_bytes());
            table.extend_from_slice(&segments.to_le_bytes());
        }
        let mut head = Vec::with_capacity(HEAD);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&u32::try_from(self.shards.len()).ok()?.to_le_bytes());
        head.extend_from_slice(&self.entries.to_le_bytes());
        head.extend_from_slice(&u64::try_from(self.fingerprints).ok()?.to_le_bytes());
        head.extend_from_slice(&self.digest);
        let checksum = Sha256::new().chain_update(&head).chain_update(&table).finalize();
        head.extend_from_slice(&checksum);
        Some((head.try_into().ok()?, table))
    }

    /// Reads what is needed of a file, and checks all of that.
    pub(crate) fn decode(file: &[u8]) -> Result<Self, FilterError> {
        let Some(mut rest) = file.strip_prefix(MAGIC) else { return Err(FilterError::Foreign) };
        let version = u32::from_le_bytes(take(&mut rest)?);
        if version != VERSION {
            return Err(FilterError::Version(version));
        }
        let shards = size(u32::from_le_bytes(take(&mut rest)?))?;
        let entries = u64::from_le_bytes(take(&mut rest)?);
        let fingerprints = size(u64::from_le_bytes(take(&mut rest)?))?;
        let digest = take(&mut rest)?;
        let checksum: [u8; 32] = take(&mut rest)?;
        let table = rest.get(fingerprints..).ok_or(FilterError::Length)?;
        if Some(table.len()) != shards.checked_mul(ROW) {
            return Err(FilterError::Length);
        }
        let head = file.get(..CHECKED).ok_or(FilterError::Length)?;
        if checksum != <[u8; 32]>::from(Sha256::new().chain_update(head).chain_update(table).finalize()) {
            return Err(FilterError::Damaged);
        }
        let shards = decode_table(table, fingerprints)?;
        if entries == 0 || shards.is_empty() {
            return Err(FilterError::Empty);
        }
        Ok(Self { entries, shards, fingerprints, digest })
    }
}

/// The shards, each of which has to begin where the one before ends, in places as in keys.
fn decode_table(mut table: &[u8], fingerprints: usize) -> Result<Vec<Shard>, FilterError> {
    let mut shards: Vec<Shard> = Vec::with_capacity(table.len() / ROW);
    let mut start = 0_usize;
    while !table.is_empty() {
        let (least, seed) = (u64::from_le_bytes(take(&mut table)?), u64::from_le_bytes(take(&mut table)?));
        let (bits, segments) = (u32::from_le_bytes(take(&mut table)?), u32::from_le_bytes(take(&mut table)?));
        let shape = Shape::new(bits, segments).ok_or(FilterError::Damaged)?;
        if shards.last().is_some_and(|before| before.least >= least) {
            return Err(FilterError::Damaged);
        }
        shards.push(Shard { least, seed, shape, start });
        start = start.checked_add(shape.length()).ok_or(FilterError::Damaged)?;
    }
    if start == fingerprints { Ok(shards) } else { Err(FilterError::Damaged) }
}

/// Takes the next bytes off.
fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], FilterError> {
    let (taken, rest) = bytes.split_first_chunk().ok_or(FilterError::Length)?;
    *bytes = rest;
    Ok(*taken)
}

/// A number of things that are in a file, so it cannot be more than memory has addresses.
fn size(number: impl TryInto<usize>) -> Result<usize, FilterError> {
    number.try_into().map_err(|_| FilterError::Length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let shape = Shape::new(2, 3).unwrap();
        let shard = |least, start| Shard { least, seed: least + 1, shape, start };
        Index { entries: 30, shards: vec![shard(5, 0), shard(9, 20)], fingerprints: 40, digest: [7; 32] }
    }

    fn file(index: &Index) -> Vec<u8> {
        let (head, table) = index.encode().unwrap();
        [&head[..], &vec![0; index.fingerprints], &table].concat()
    }

    #[test]
    fn what_was_written_is_read() {
        let read = Index::decode(&file(&index())).unwrap();
        assert_eq!(read.shards, index().shards);
        assert_eq!((read.entries, read.fingerprints, read.digest), (30, 40, [7; 32]));
    }

    #[test]
    fn what_is_no_filter_is_told_from_what_is_a_broken_one() {
        assert!(matches!(Index::decode(b""), Err(FilterError::Foreign)));
        assert!(matches!(Index::decode(b"SQLite format 3\0 and so on"), Err(FilterError::Foreign)));
        assert!(matches!(Index::decode(MAGIC), Err(FilterError::Length)));
        let mut other = file(&index());
        other[8] = 2;
        assert!(matches!(Index::decode(&other), Err(FilterError::Version(2))));
    }

    #[test]
    fn a_filter_that_would_let_everything_pass_is_refused() {
        let without = |entries, shards, fingerprints| Index { entries, shards, fingerprints, digest: [7; 32] };
        for empty in [without(30, Vec::new(), 0), without(0, index().shards, 40)] {
            assert!(matches!(Index::decode(&file(&empty)), Err(FilterError::Empty)), "{empty:?}");
        }
    }

    #[test]
    fn a_file_of_another_length_is_refused() {
        let whole = file(&index());
        for length in 8..whole.len() {
            assert!(matches!(Index::decode(&whole[..length]), Err(FilterError::Length)), "{length}");
        }
        assert!(matches!(Index::decode(&[&whole[..], b"\0"].concat()), Err(FilterError::Length)));
    }

    #[test]
    fn a_changed_bit_in_head_or_table_is_refused() {
        let whole = file(&index());
        for at in (0..HEAD).chain(HEAD + 40..whole.len()) {
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[at] ^= 1 << bit;
                assert!(Index::decode(&changed).is_err(), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn shards_that_do_not_follow_on_one_another_are_refused_whatever_the_checksum() {
        let mut disordered = index();
        disordered.shards.swap(0, 1);
        let mut short = index();
        short.fingerprints = 39;
        for index in [disordered, short] {
            assert!(matches!(Index::decode(&file(&index)), Err(FilterError::Damaged)), "{index:?}");
        }
    }
}
