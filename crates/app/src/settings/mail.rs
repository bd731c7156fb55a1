//! Reading the options of `mail`.

#![allow(clippy::needless_pass_by_value, reason = "each parser is handed to `Check` by value")]

use std::path::PathBuf;

use doorward_http::problem::chain;
use doorward_mail::{InvalidSmtpUrl, Sender, SmtpOptions, SmtpTransport, UnusableSmtp};

use super::check::Check;
use super::parse::one_line;
use super::raw::{Mail, Smtp};
use crate::{MailDelivery, MailSettings};

/// Whom the mails of `doorward dev` come from.
const DEV_SENDER: &str = "Doorward <no-reply@doorward.localhost>";

/// The settings; `None` with a complaint where something that is needed is missing or wrong. Without a transport of
/// its own, `doorward dev` writes mail into its folder.
pub(super) fn read(check: &mut Check, raw: Mail, dev_folder: Option<PathBuf>) -> Option<MailSettings> {
    let Mail { transport, from, directory, templates, service_name, smtp } = raw;
    let name = check.or("mail.service_name", service_name, one_line, MailSettings::SERVICE_NAME.to_owned());
    let delivery = match (transport.as_deref(), dev_folder) {
        (None, Some(folder)) => {
            let from = from.unwrap_or_else(|| DEV_SENDER.to_owned());
            let from = check.required("mail.from", Some(from), parse_sender).flatten()?;
            let folder = check.required("mail.directory", Some(directory.unwrap_or(folder)), parse_folder)?;
            only_with_smtp(check, &smtp);
            MailDelivery::Directory { folder, from, log_links: true }
        }
        (Some("smtp"), _) => {
            if directory.is_some() {
                check.note("mail.directory", "is for `mail.transport` file alone");
            }
            let from = check.required("mail.from", from, parse_sender).flatten();
            MailDelivery::Smtp(smtp_options(check, smtp, from)?)
        }
        (Some("file"), dev_folder) => {
            only_with_smtp(check, &smtp);
            let from = check.required("mail.from", from, parse_sender).flatten();
            let folder = check.required("mail.directory", directory.or(dev_folder), parse_folder);
            MailDelivery::Directory { folder: folder?, from: from?, log_links: false }
        }
        (Some(_), _) => {
            check.note("mail.transport", "must be smtp or file");
            return None;
        }
        (None, None) => {
            check.note("mail.transport", "is required: smtp or file");
            return None;
        }
    };
    let settings = MailSettings { delivery, service_name: name, templates };
    if settings.templates.is_some()
        && let Err(error) = settings.compile_templates("localhost")
    {
        check.note("mail.templates", chain(&error));
    }
    Some(settings)
}

fn only_with_smtp(check: &mut Check, smtp: &Smtp) {
    let Smtp { url, url_file, security, username, password, password_file, ca_file } = smtp;
    for (name, given) in [
        ("mail.smtp.url", url.is_some() || url_file.is_some()),
        ("mail.smtp.security", security.is_some()),
        ("mail.smtp.username", username.is_some()),
        ("mail.smtp.password", password.is_some() || password_file.is_some()),
        ("mail.smtp.ca_file", ca_file.is_some()),
    ] {
        if given {
            check.note(name, "is for `mail.transport` smtp alone");
        }
    }
}

fn smtp_options(check: &mut Check, raw: Smtp, from: Option<Sender>) -> Option<SmtpOptions> {
    let url = check.secret("mail.smtp.url", raw.url, raw.url_file.as_deref());
    let url = check.required("mail.smtp.url", url, Ok::<_, String>);
    let security = check.or("mail.smtp.security", raw.security, |text| text.parse().map(Some), None);
    let password = check.secret("mail.smtp.password", raw.password, raw.password_file.as_deref());
    let (url, from) = (url?, from?);
    let options =
        SmtpOptions { security, username: raw.username, password, ca_file: raw.ca_file, ..SmtpOptions::new(url, from) };
    match SmtpTransport::new(options.clone()) {
        Ok(_) => Some(options),
        Err(error) => {
            let option = match &error {
                UnusableSmtp::Options(InvalidSmtpUrl::Security) => "mail.smtp.security",
                UnusableSmtp::Options(InvalidSmtpUrl::Credentials) => "mail.smtp.password",
                UnusableSmtp::CaFile { .. } => "mail.smtp.ca_file",
                UnusableSmtp::Options(_) | UnusableSmtp::Tls(_) => "mail.smtp.url",
            };
            check.note(option, error);
            None
        }
    }
}

fn parse_sender(text: String) -> Result<Option<Sender>, doorward_mail::InvalidSender> {
    text.parse().map(Some)
}

fn parse_folder(path: PathBuf) -> Result<PathBuf, &'static str> {
    if path.as_os_str().is_empty() || path.exists() && !path.is_dir() {
        return Err("must be a folder, or a path where one can be made");
    }
    Ok(path)
}
