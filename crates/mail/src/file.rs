use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use doorward_domain::{MailTransport, Message, SendError};

use crate::{Sender, mime};

/// Writes each message into a file of its own instead of sending it, as the bytes that SMTP would send.
///
/// A message is `<id>.eml` in the folder, where the id is the part of its `Message-ID` before the `@`; another
/// attempt takes the place of the one before. Messages hold usable tokens, so only the owner of the process may
/// read them (mode 0600 in a folder of mode 0700).
#[derive(Debug)]
pub struct FileTransport {
    folder: PathBuf,
    from: Sender,
    written: AtomicU64,
}

impl FileTransport {
    /// Writes into this folder, which is made if there is none. One that exists keeps its mode.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made. Blocks for as long as that takes.
    pub fn new(folder: PathBuf, from: Sender) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder, from, written: AtomicU64::new(0) })
    }
}

#[async_trait]
impl MailTransport for FileTransport {
    async fn send(&self, message: &Message) -> Result<(), SendError> {
        let refused = |problem| SendError::Permanent(format!("the message cannot be written: {problem}"));
        let written = mime::write(&self.from, message).map_err(refused)?;
        let id = mime::id_part(&message.id).ok_or_else(|| refused("its id is not of the form <id@host>"))?;
        let target = self.folder.join(format!("{id}.eml"));
        // The number keeps two attempts at one message from writing into one file.
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let draft = self.folder.join(format!(".{id}.{number}.tmp"));
        let saving = tokio::task::spawn_blocking(move || save(&draft, &target, &written.bytes));
        match saving.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(SendError::Unreachable(format!("the folder cannot be written to: {error}"))),
            Err(_) => Err(SendError::Unreachable("the program is stopping".to_owned())),
        }
    }
}

/// Renames a finished draft, so that a reader never sees half a file.
fn save(draft: &Path, target: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(draft)?;
    let result = file.write_all(bytes).and_then(|()| fs::rename(draft, target));
    if result.is_err() {
        // The first error is the one to report; a draft that cannot be removed either does no harm.
        drop(fs::remove_file(draft));
    }
    result
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::testing::{headers, message, sender};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_message_is_one_file_that_only_its_owner_reads() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("outgoing/mail");
        let transport = FileTransport::new(folder.clone(), sender()).unwrap();
        transport.send(&message("<0190-a@example.com>")).await.unwrap();
        let file = folder.join("0190-a.eml");
        assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
        let headers = headers(&fs::read(&file).unwrap());
        assert!(headers.contains(&("Message-ID".to_owned(), "<0190-a@example.com>".to_owned())));
    }

    #[tokio::test]
    async fn another_attempt_takes_the_place_of_the_first() {
        let root = tempfile::tempdir().unwrap();
        let transport = FileTransport::new(root.path().to_owned(), sender()).unwrap();
        let mut message = message("<a@b>");
        transport.send(&message).await.unwrap();
        message.subject = "Again".to_owned();
        transport.send(&message).await.unwrap();
        let names: Vec<_> = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["a.eml"]);
        let headers = headers(&fs::read(root.path().join("a.eml")).unwrap());
        assert!(headers.contains(&("Subject".to_owned(), "Again".to_owned())));
    }

    #[tokio::test]
    async fn no_id_leads_out_of_the_folder() {
        let root = tempfile::tempdir().unwrap();
        let transport = FileTransport::new(root.path().to_owned(), sender()).unwrap();
        let error = transport.send(&message("<../a@b>")).await.unwrap_err();
        assert!(matches!(error, SendError::Permanent(_)), "{error}");
    }

    #[tokio::test]
    async fn a_folder_that_is_gone_says_nothing_about_the_message() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("gone");
        let transport = FileTransport::new(folder.clone(), sender()).unwrap();
        fs::remove_dir(&folder).unwrap();
        let error = transport.send(&message("<a@b>")).await.unwrap_err();
        assert!(matches!(error, SendError::Unreachable(_)), "{error}");
    }
}
