//! Doorward's mail ports: [`MailTransport`](doorward_domain::MailTransport) over SMTP, into files and into
//! memory, and [`MailComposer`](doorward_domain::MailComposer) with templates.
//!
//! A message says the same to every transport: [`SmtpTransport`] and [`FileTransport`] write the same bytes
//! (RFC 5322). No message loads anything from anywhere, and none tells its sender that it was read.
//!
//! # Where to look
//!
//! | for | see |
//! |---|---|
//! | how mail leaves, and over which security | [`SmtpTransport`], [`SmtpOptions`], [`SmtpSecurity`] |
//! | mail in a folder, for development | [`FileTransport`] |
//! | mail in memory, for tests | [`MemoryTransport`] |
//! | whom mail comes from | [`Sender`] |
//! | what the mails say, and how to say it differently | [`Templates`], the folder `templates` |

mod file;
mod language;
mod memory;
mod mime;
mod sender;
mod smtp;
mod smtp_error;
mod smtp_options;
mod templates;
#[cfg(test)]
mod testing;
mod values;
mod wrap;

pub use file::FileTransport;
pub use memory::MemoryTransport;
pub use sender::{InvalidSender, Sender};
pub use smtp::{SmtpTransport, UnusableSmtp};
pub use smtp_options::{InvalidSecurity, InvalidSmtpUrl, SmtpOptions, SmtpSecurity};
pub use templates::{TemplateError, TemplateOptions, Templates};
