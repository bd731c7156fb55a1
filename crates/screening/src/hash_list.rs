use std::io::{self, BufRead, Read};

use thiserror::Error;

use crate::BuildError;

/// Reads a list of hashes line by line: `HASH` or `HASH:COUNT`, sorted by hash, in upper or lower case.
pub(crate) struct HashList<R> {
    reader: R,
    line: Vec<u8>,
    number: u64,
    last: Option<[u8; 20]>,
}

/// A line of the list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) hash: [u8; 20],
    /// How many times the password was found, where the list says so.
    pub(crate) count: Option<u64>,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LineProblem {
    /// Something else stands there, such as a hash of another kind.
    #[error("is no SHA-1 hash of 40 hexadecimal digits, alone or with `:` and a count")]
    NoHash,
    /// Its hash is less than that of a line before.
    #[error("is out of order; the list has to be sorted by hash")]
    Unsorted,
    /// A least count was asked for, and it has none.
    #[error("has no count, and a least count was asked for")]
    NoCount,
}

impl<R: BufRead> HashList<R> {
    pub(crate) const fn new(reader: R) -> Self {
        Self { reader, line: Vec::new(), number: 0, last: None }
    }

    /// The next line that is not blank; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Listed>, BuildError> {
        loop {
            if !self.read_line().map_err(BuildError::Read)? {
                return Ok(None);
            }
            self.number += 1;
            let line = self.line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            let listed = parse(line).ok_or_else(|| self.complain(LineProblem::NoHash))?;
            if self.last.is_some_and(|last| listed.hash < last) {
                return Err(self.complain(LineProblem::Unsorted));
            }
            self.last = Some(listed.hash);
            return Ok(Some(listed));
        }
    }

    /// What is wrong with the line that was read last.
    pub(crate) fn complain(&self, problem: LineProblem) -> BuildError {
        BuildError::Line { number: self.number, problem }
    }

    /// Reads a line, or as much of one as tells that it is too long.
    fn read_line(&mut self) -> io::Result<bool> {
        const LONGEST: u64 = 128;
        self.line.clear();
        Ok(self.reader.by_ref().take(LONGEST).read_until(b'\n', &mut self.line)? > 0)
    }
}

fn parse(line: &[u8]) -> Option<Listed> {
    let (digits, rest) = line.split_first_chunk::<40>()?;
    let mut hash = [0; 20];
    for (byte, [high, low]) in hash.iter_mut().zip(digits.as_chunks().0) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    let count = match rest.strip_prefix(b":") {
        Some(count) => Some(str::from_utf8(count).ok()?.parse().ok()?),
        None if rest.is_empty() => None,
        None => return None,
    };
    Some(Listed { hash, count })
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Listed>, BuildError> {
        let mut list = HashList::new(text.as_bytes());
        let mut all = Vec::new();
        while let Some(listed) = list.next()? {
            all.push(listed);
        }
        Ok(all)
    }

    const FIRST: &str = "000000005AD76BD555C1D6D771DE417A4B87E4B4";
    const SECOND: &str = "00000000a8dae4228f821fb418f59826079bf368";

    #[test]
    fn lines_come_with_and_without_counts_in_either_case_and_with_either_end() {
        let listed = read(&format!("{FIRST}:10\r\n\r\n{SECOND}\n{SECOND}:3")).unwrap();
        assert_eq!(listed.iter().map(|listed| listed.count).collect::<Vec<_>>(), [Some(10), None, Some(3)]);
        assert_eq!(listed[0].hash[..6], [0, 0, 0, 0, 0x5a, 0xd7]);
        assert_eq!(listed[1].hash, listed[2].hash);
        assert_eq!(listed[1].hash[4..6], [0xa8, 0xda]);
    }

    #[test]
    fn what_is_no_line_of_a_list_is_refused_by_its_number() {
        let long = "0".repeat(1_000);
        for garbage in [
            "password",
            &FIRST[1..],
            &long,
            "<html>",
            &format!("{FIRST}:"),
            &format!("{FIRST}:many"),
            &format!("{FIRST}0"),
            &format!("{FIRST}:-1"),
            &format!("G{}", &FIRST[1..]),
            "\u{feff}",
        ] {
            let outcome = read(&format!("{FIRST}:1\n\n{garbage}\n{SECOND}:1\n"));
            let Err(BuildError::Line { number: 3, problem: LineProblem::NoHash }) = outcome else {
                panic!("{garbage}: {outcome:?}")
            };
        }
    }

    #[test]
    fn a_list_that_is_not_sorted_is_refused_by_the_number_of_the_line() {
        let outcome = read(&format!("{FIRST}\n{SECOND}\n{FIRST}\n"));
        assert!(matches!(outcome, Err(BuildError::Line { number: 3, problem: LineProblem::Unsorted })), "{outcome:?}");
    }
}
