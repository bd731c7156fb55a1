//! The options as they are written, before any of them is understood. A name that is not here is refused.

use std::fmt;
use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) public_url: Option<String>,
    pub(super) listen: Option<String>,
    pub(super) trusted_proxies: Option<List>,
    pub(super) forwarded_header: Option<String>,
    pub(super) database: Database,
    pub(super) registration: Registration,
    pub(super) password: Password,
    pub(super) hashing: Hashing,
    pub(super) proof_of_work: ProofOfWork,
    pub(super) tokens: Tokens,
    pub(super) sessions: Sessions,
    pub(super) clients: Option<Clients>,
    pub(super) secrets: Secrets,
    pub(super) limits: Limits,
    pub(super) cors: Cors,
    pub(super) mail: Mail,
    pub(super) webhooks: Option<Webhooks>,
    pub(super) tasks: Tasks,
    pub(super) pages: Pages,
    pub(super) events: Events,
    pub(super) log: Log,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Events {
    pub(super) retention: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Database {
    pub(super) url: Option<SecretString>,
    pub(super) url_file: Option<PathBuf>,
    pub(super) max_connections: Option<u32>,
    pub(super) schema: Option<String>,
    pub(super) migrate: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Registration {
    pub(super) mode: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Password {
    pub(super) min_length: Option<usize>,
    pub(super) argon2: Argon2,
    pub(super) word_list: Option<PathBuf>,
    pub(super) filter: Option<PathBuf>,
    pub(super) breach_check: BreachCheck,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct BreachCheck {
    pub(super) enabled: Option<bool>,
    pub(super) url: Option<String>,
    pub(super) timeout: Option<String>,
    pub(super) min_count: Option<u64>,
    pub(super) on_failure: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Argon2 {
    pub(super) memory_kib: Option<u32>,
    pub(super) iterations: Option<u32>,
    pub(super) parallelism: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Hashing {
    pub(super) workers: Option<usize>,
    pub(super) queue: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ProofOfWork {
    pub(super) difficulty: Option<u32>,
    pub(super) on: Option<List>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tokens {
    pub(super) algorithm: Option<String>,
    pub(super) issuer: Option<String>,
    pub(super) audience: Option<String>,
    pub(super) access_ttl: Option<String>,
    pub(super) rotate_after: Option<String>,
    pub(super) secret: Option<SecretString>,
    pub(super) secret_file: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Sessions {
    pub(super) idle: Option<String>,
    pub(super) absolute: Option<String>,
    pub(super) reuse_window: Option<String>,
    pub(super) most_per_user: Option<u32>,
    pub(super) staleness: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Secrets {
    pub(super) master_key: Option<SecretString>,
    pub(super) master_key_file: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) header_timeout: Option<String>,
    pub(super) body_timeout: Option<String>,
    pub(super) request_timeout: Option<String>,
    pub(super) max_connections: Option<usize>,
    pub(super) password_free: Option<u32>,
    pub(super) password_first_delay: Option<String>,
    pub(super) password_longest_delay: Option<String>,
    pub(super) password_most: Option<u32>,
    pub(super) login_by_client: Option<String>,
    pub(super) register_by_client: Option<String>,
    pub(super) mail_by_client: Option<String>,
    pub(super) token_by_client: Option<String>,
    pub(super) refresh_by_client: Option<String>,
    pub(super) refresh_by_session: Option<String>,
    pub(super) requests_by_client: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Cors {
    pub(super) origins: Option<List>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Log {
    pub(super) format: Option<String>,
    pub(super) level: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tasks {
    pub(super) enabled: Option<bool>,
    pub(super) most_per_user: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Pages {
    pub(super) enabled: Option<bool>,
    pub(super) name: Option<String>,
    pub(super) logo: Option<PathBuf>,
    pub(super) accent: Option<String>,
    pub(super) accent_dark: Option<String>,
    pub(super) imprint: Option<String>,
    pub(super) privacy: Option<String>,
    pub(super) templates: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Mail {
    pub(super) transport: Option<String>,
    pub(super) from: Option<String>,
    pub(super) directory: Option<PathBuf>,
    pub(super) templates: Option<PathBuf>,
    pub(super) service_name: Option<String>,
    pub(super) smtp: Smtp,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Smtp {
    pub(super) url: Option<SecretString>,
    pub(super) url_file: Option<PathBuf>,
    pub(super) security: Option<String>,
    pub(super) username: Option<String>,
    pub(super) password: Option<SecretString>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) ca_file: Option<PathBuf>,
}

/// Several clients: an array of tables in a file, `id:digest` separated by commas in the environment.
#[derive(Default)]
pub(super) struct Clients(pub(super) Vec<Client>);

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Client {
    pub(super) id: Option<String>,
    pub(super) secret_sha256: Option<String>,
}

impl<'de> Deserialize<'de> for Clients {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ClientsVisitor;

        impl<'de> Visitor<'de> for ClientsVisitor {
            type Value = Clients;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "an array of tables with `id` and `secret_sha256`, or `id:secret_sha256` separated by commas",
                )
            }

            fn visit_str<E>(self, text: &str) -> Result<Clients, E> {
                let client = |text: &str| {
                    let (id, digest) = text.split_once(':').map_or((text, None), |(id, digest)| (id, Some(digest)));
                    Client {
                        id: Some(id.trim().to_owned()),
                        secret_sha256: digest.map(|digest| digest.trim().to_owned()),
                    }
                };
                Ok(Clients(text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(client).collect()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Clients, A::Error> {
                let mut clients = Vec::new();
                while let Some(client) = seq.next_element()? {
                    clients.push(client);
                }
                Ok(Clients(clients))
            }
        }

        deserializer.deserialize_any(ClientsVisitor)
    }
}

/// Several endpoints for webhooks: an array of tables in a file. The environment has no form for them.
#[derive(Default)]
pub(super) struct Webhooks(pub(super) Vec<Webhook>);

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Webhook {
    pub(super) name: Option<String>,
    pub(super) url: Option<String>,
    pub(super) secret: Option<SecretString>,
    pub(super) secret_file: Option<PathBuf>,
    pub(super) events: Option<List>,
    pub(super) allow_private: Option<bool>,
}

impl<'de> Deserialize<'de> for Webhooks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WebhooksVisitor;

        impl<'de> Visitor<'de> for WebhooksVisitor {
            type Value = Webhooks;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of tables in the configuration file; the environment cannot give it")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Webhooks, A::Error> {
                let mut webhooks = Vec::new();
                while let Some(webhook) = seq.next_element()? {
                    webhooks.push(webhook);
                }
                Ok(Webhooks(webhooks))
            }
        }

        deserializer.deserialize_any(WebhooksVisitor)
    }
}

/// Several texts: an array in a file, separated by commas in the environment.
#[derive(Default)]
pub(super) struct List(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor;

        impl<'de> Visitor<'de> for ListVisitor {
            type Value = List;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of texts, or texts separated by commas")
            }

            fn visit_str<E>(self, text: &str) -> Result<List, E> {
                Ok(List(text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<List, E> {
                Ok(List(vec![number.to_string()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List, A::Error> {
                let mut list = Vec::new();
                while let Some(text) = seq.next_element()? {
                    list.push(text);
                }
                Ok(List(list))
            }
        }

        deserializer.deserialize_any(ListVisitor)
    }
}
