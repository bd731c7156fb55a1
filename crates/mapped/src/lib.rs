//! A file mapped into memory for reading.
//!
//! This is the one place in Doorward with `unsafe` in it, and it is this small so that it can be read in a minute.
//!
//! # Why it is unsafe
//!
//! The bytes of a mapped file are those of the file, not a copy: whoever writes into the file changes them under the
//! eyes of the reader, and whoever shortens it takes them away. The operating system ends a process that reaches for a
//! page that is gone with SIGBUS, which nothing in here can prevent.
//!
//! So a file that may be mapped is never written into. Write the new one beside it and rename it into its place: who
//! has the old one mapped keeps it, complete and unchanged, until the map is dropped. Keep it in a folder that only
//! those may write to who may also stop the service.

use std::fs::{self, File};
use std::io;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

/// A file's bytes, read from the disk when they are looked at. Unmapped when it is dropped.
#[derive(Debug)]
pub struct MappedFile(Mmap);

impl MappedFile {
    /// Maps a file that nobody writes into, as the [crate] says.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, or is nothing that can be mapped, such as a folder or a pipe.
    pub fn open(path: &Path) -> io::Result<Self> {
        // To open a pipe would wait for somebody who writes into it.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
        }
        Self::map(&File::open(path)?)
    }

    #[allow(unsafe_code, reason = "mapping a file is unsafe, and this crate is here to do it in one place")]
    fn map(file: &File) -> io::Result<Self> {
        // SAFETY: the map is private to the reader and read-only. What is left to fear is somebody who writes into the
        // file meanwhile. Bytes that change are no text and no pointers to anybody: those who look at them check
        // each length against the slice that they have. A page that is gone ends the process, as the crate's
        // documentation says.
        let map = unsafe { Mmap::map(file)? };
        Ok(Self(map))
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::process::Command;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_mapped_file_is_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for bytes in [&b"some bytes"[..], b"", &[7; 10_000]] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(&*MappedFile::open(&path).unwrap(), bytes);
        }
    }

    #[test]
    fn a_file_that_is_replaced_by_renaming_stays_as_it_was_for_who_has_it_mapped() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("file"), folder.path().join("other"));
        fs::write(&path, b"the old one").unwrap();
        let mapped = MappedFile::open(&path).unwrap();
        fs::write(&other, b"new").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(&*mapped, b"the old one");
        assert_eq!(&*MappedFile::open(&path).unwrap(), b"new");
    }

    #[test]
    fn what_is_no_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(MappedFile::open(folder.path()).is_err());
        let missing = MappedFile::open(&folder.path().join("missing")).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_pipe_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || sender.send(MappedFile::open(&pipe).map_err(|error| error.kind()).map(drop)));
        let outcome = receiver.recv_timeout(Duration::from_secs(10)).expect("it waits for a writer");
        assert_eq!(outcome, Err(ErrorKind::InvalidInput));
    }
}
