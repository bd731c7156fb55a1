//! Membership in about nine bits a key: a binary fuse filter with fingerprints of eight bits (Graf and Lemire, "Binary
//! Fuse Filters: Fast and Smaller Than Xor Filters", 2022).
//!
//! Each key has three places, one in each of three neighbouring segments, and the bytes at these places together are the
//! key's fingerprint. A key that was put in is always found; another one is taken for one of them once in 256 times.
//!
//! Everything is counted in whole numbers, so the same keys give the same bytes on any machine.

/// How the places of a filter are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// A segment has two to the power of this many places.
    segment_bits: u32,
    /// How many segments a key's first place may be in. Two further ones follow.
    segments: u32,
}

impl Shape {
    /// A layout that a file names; `None` for one that cannot be.
    pub(crate) fn new(segment_bits: u32, segments: u32) -> Option<Self> {
        let all = u64::from(segments).checked_add(2)?.checked_shl(segment_bits)?;
        let sound = segments > 0 && segment_bits < 32 && u32::try_from(all).is_ok();
        sound.then_some(Self { segment_bits, segments })
    }

    /// The layout for this many keys: the sizes that the paper found to work best.
    fn for_keys(count: usize) -> Option<Self> {
        let count = u64::try_from(count).ok()?.max(2);
        // 1.125 places a key for a million of them, more for fewer.
        let thousandths = (875 + 4_983 / u64::from(count.ilog2())).max(1_125);
        let places = count.checked_mul(thousandths)?.div_ceil(1_000);
        let segment_bits = segment_bits(count);
        let segments = places.div_ceil(1 << segment_bits).saturating_sub(2).max(1);
        Self::new(segment_bits, u32::try_from(segments).ok()?)
    }

    pub(crate) const fn parts(self) -> (u32, u32) {
        (self.segment_bits, self.segments)
    }

    /// How many places there are, each of a byte.
    pub(crate) const fn length(self) -> usize {
        // No more than 32 bits, as `new` makes sure.
        ((self.segments as usize) + 2) << self.segment_bits
    }

    /// The three places of a key, by its hash. They differ, since they are in segments of their own.
    #[allow(clippy::cast_possible_truncation, reason = "each place takes other bits of the hash and leaves the rest")]
    fn places(self, hash: u64) -> [usize; 3] {
        let segment = 1_u32 << self.segment_bits;
        let mask = segment - 1;
        let first = (((hash >> 32) * u64::from(self.segments << self.segment_bits)) >> 32) as u32;
        let second = (first + segment) ^ ((hash >> 18) as u32 & mask);
        let third = (first + 2 * segment) ^ (hash as u32 & mask);
        [first, second, third].map(|place| place as usize)
    }
}

/// Segments grow with the number of keys: by a bit each time there are 3.33 times as many.
fn segment_bits(count: u64) -> u32 {
    const LEAST: u32 = 2;
    const MOST: u32 = 18;
    // For three bits it takes 2.465 keys, in hundred-thousandths.
    let mut needed: u64 = 246_500;
    let mut bits = LEAST;
    while bits < MOST && count.saturating_mul(100_000) >= needed {
        needed = needed * 333 / 100;
        bits += 1;
    }
    bits
}

/// A filter in memory, as it was built.
#[derive(Debug)]
pub(crate) struct Fuse {
    pub(crate) shape: Shape,
    pub(crate) seed: u64,
    pub(crate) fingerprints: Vec<u8>,
}

impl Fuse {
    /// Builds a filter of keys that all differ. `None` when no seed works for them, which does not happen with any keys
    /// that somebody meets.
    ///
    /// Takes about 40 bytes of memory a key meanwhile.
    pub(crate) fn build(keys: &[u64]) -> Option<Self> {
        /// A seed works more often than not.
        const ATTEMPTS: u64 = 256;
        let shape = Shape::for_keys(keys.len())?;
        (1..=ATTEMPTS).map(mix).find_map(|seed| {
            let fingerprints = fingerprints(keys, shape, seed)?;
            Some(Self { shape, seed, fingerprints })
        })
    }
}

/// Whether a filter holds a key. The fingerprints are as long as the shape says.
pub(crate) fn holds(fingerprints: &[u8], shape: Shape, seed: u64, key: u64) -> bool {
    let hash = hash_of(key, seed);
    let stored = shape.places(hash).into_iter().map(|place| fingerprints.get(place).copied().unwrap_or_default());
    stored.fold(0, |all, byte| all ^ byte) == fingerprint(hash)
}

/// The hash of a key, which no other key has with the same seed.
const fn hash_of(key: u64, seed: u64) -> u64 {
    mix(key.wrapping_add(seed))
}

/// Spreads each bit of a number over all of another, one to one (the finalizer of `MurmurHash3`).
const fn mix(mut n: u64) -> u64 {
    n ^= n >> 33;
    n = n.wrapping_mul(0xff51_afd7_ed55_8ccd);
    n ^= n >> 33;
    n = n.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    n ^ (n >> 33)
}

#[allow(clippy::cast_possible_truncation, reason = "a fingerprint is eight bits of the hash")]
const fn fingerprint(hash: u64) -> u8 {
    (hash ^ (hash >> 32)) as u8
}

/// What has a place in common.
#[derive(Clone, Copy, Default)]
struct Place {
    keys: u32,
    /// All their hashes, added without carry: with one key left, its hash.
    hashes: u64,
}

/// The bytes that give each key its fingerprint; `None` when this seed does not work.
fn fingerprints(keys: &[u64], shape: Shape, seed: u64) -> Option<Vec<u8>> {
    let mut places = vec![Place::default(); shape.length()];
    for key in keys {
        let hash = hash_of(*key, seed);
        for at in shape.places(hash) {
            let place = places.get_mut(at)?;
            place.keys += 1;
            place.hashes ^= hash;
        }
    }
    // A key that has a place for itself can be given its fingerprint there, whatever comes of its other two. Taken
    // away, it leaves places to others that they then have for themselves.
    let mut own: Vec<usize> = Vec::new();
    own.extend(places.iter().enumerate().filter(|(_, place)| place.keys == 1).map(|(at, _)| at));
    let mut taken: Vec<(u64, usize)> = Vec::with_capacity(keys.len());
    while let Some(at) = own.pop() {
        let Place { keys: 1, hashes: hash } = *places.get(at)? else { continue };
        taken.push((hash, at));
        for other in shape.places(hash) {
            let place = places.get_mut(other)?;
            place.keys -= 1;
            place.hashes ^= hash;
            if place.keys == 1 {
                own.push(other);
            }
        }
    }
    if taken.len() != keys.len() {
        return None;
    }
    // The last one taken had to leave its place to nobody, so it comes first.
    let mut bytes = vec![0_u8; places.len()];
    for (hash, at) in taken.into_iter().rev() {
        let mut byte = fingerprint(hash);
        for other in shape.places(hash).into_iter().filter(|other| *other != at) {
            byte ^= *bytes.get(other)?;
        }
        *bytes.get_mut(at)? = byte;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys that all differ.
    fn keys(range: std::ops::Range<u64>) -> Vec<u64> {
        range.map(|n| mix(n + 1_000_000_007)).collect()
    }

    fn missed(fuse: &Fuse, keys: &[u64]) -> usize {
        keys.iter().filter(|key| !holds(&fuse.fingerprints, fuse.shape, fuse.seed, **key)).count()
    }

    #[test]
    fn every_key_is_found_however_many_there_are() {
        for count in (0..300).chain([1_000, 1_009, 9_999, 40_000]) {
            let keys = keys(0..count);
            let fuse = Fuse::build(&keys).unwrap_or_else(|| panic!("{count} keys"));
            assert_eq!(fuse.fingerprints.len(), fuse.shape.length());
            assert_eq!(missed(&fuse, &keys), 0, "{count} keys");
        }
    }

    #[test]
    fn keys_that_are_close_to_one_another_are_kept_apart() {
        let keys: Vec<u64> = (0..20_000).collect();
        let fuse = Fuse::build(&keys).unwrap();
        assert_eq!(missed(&fuse, &keys), 0);
    }

    #[test]
    fn one_key_in_256_others_is_taken_for_one_of_them() {
        let fuse = Fuse::build(&keys(0..50_000)).unwrap();
        let others = keys(50_000..150_000);
        let alarms = others.len() - missed(&fuse, &others);
        assert!((250..550).contains(&alarms), "{alarms} of {}", others.len());
    }

    #[test]
    fn a_filter_takes_little_more_than_a_byte_a_key() {
        for (count, most) in [(10_000_u64, 1.4), (100_000, 1.25), (1_000_000, 1.15), (2_097_152, 1.14)] {
            let shape = Shape::for_keys(usize::try_from(count).unwrap()).unwrap();
            #[allow(clippy::cast_precision_loss, reason = "a ratio")]
            let bytes = shape.length() as f64 / count as f64;
            assert!(bytes <= most, "{count} keys take {bytes} bytes each");
        }
    }

    #[test]
    fn places_are_different_and_within_the_filter() {
        for count in [0, 1, 2, 3, 10, 1_000, 3_000_000] {
            let shape = Shape::for_keys(count).unwrap();
            for hash in keys(0..1_000).into_iter().chain([0, u64::MAX]) {
                let [a, b, c] = shape.places(hash);
                assert!(a < b && b < c && c < shape.length(), "{shape:?}: {a} {b} {c}");
            }
        }
    }

    #[test]
    fn a_shape_that_cannot_be_is_refused() {
        assert!(Shape::new(10, 5).is_some());
        for (bits, segments) in [(10, 0), (32, 1), (64, 1), (31, 5), (10, u32::MAX)] {
            assert_eq!(Shape::new(bits, segments), None, "{bits} {segments}");
        }
    }
}
