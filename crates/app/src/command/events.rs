use anyhow::bail;
use doorward_auth::{KnownPlace, LogReport};
use doorward_domain::store::ChainLink;
use doorward_domain::{EventRecord, Store, Timestamp};
use serde::Serialize;

use super::serve::runtime;
use super::{BadUsage, Tool, complain, json, say};

/// The security log
#[derive(clap::Args)]
pub(super) struct Events {
    #[command(subcommand)]
    act: Act,
    #[command(flatten)]
    tool: Tool,
}

#[derive(clap::Subcommand)]
enum Act {
    /// The newest entries, newest first
    List {
        /// How many at the most
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Looks for entries that were changed, removed or moved since they were sealed, and says where
    Verify {
        /// A place that an earlier run has printed, as POSITION:LINK, which the log has to go through
        #[arg(long, value_name = "PLACE")]
        expect: Option<String>,
    },
    /// Every sealed entry as a line of JSON, oldest first, each with its position and link
    Export {
        /// Only those behind this position
        #[arg(long, default_value_t = 0, value_name = "POSITION")]
        after: i64,
    },
}

/// How many entries are read at once.
const PAGE: u32 = 5_000;

impl Events {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let settings = self.tool.settings()?;
        let json = self.tool.json;
        match self.act {
            Act::List { limit } => runtime()?.block_on(async {
                let store = doorward::open_store(&settings.database).await?;
                list(&*store, limit, json).await
            }),
            Act::Verify { expect } => {
                let expected = expect.as_deref().map(parse_place).transpose()?;
                report(&runtime()?.block_on(doorward::verify_events(&settings, expected))?, json)
            }
            Act::Export { after } => runtime()?.block_on(async {
                let store = doorward::open_store(&settings.database).await?;
                export(&*store, after).await
            }),
        }
    }
}

async fn list(store: &dyn Store, limit: u32, json: bool) -> anyhow::Result<()> {
    let events = store.read().await?.events().newest(limit).await?;
    let views: Vec<View> = events.iter().map(|event| View::from(EventRecord::from(event))).collect();
    if json {
        say(&json::pretty(&views)?);
        return Ok(());
    }
    say(&line(["when", "what", "why refused", "times", "user", "address"]));
    for View { at, kind, reason, count, user_id, ip, .. } in &views {
        let [reason, user_id, ip] = [reason, user_id, ip].map(|text| text.as_deref().unwrap_or("-"));
        say(&line([at, kind, reason, &count.to_string(), user_id, ip]));
    }
    Ok(())
}

fn line([at, kind, reason, count, user, address]: [&str; 6]) -> String {
    format!("{at:<27}  {kind:<22}  {reason:<18}  {count:>6}  {user:<36}  {address}")
}

async fn export(store: &dyn Store, after: i64) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut position = after;
    loop {
        let mut unit = store.read().await?;
        let head = unit.events().chain().await?.head.position;
        let page = unit.events().sealed(position, PAGE).await?;
        drop(unit);
        let before = position;
        // What stands behind the head is not on the chain.
        for sealed in page.into_iter().filter(|sealed| sealed.seal.position <= head) {
            position = sealed.seal.position;
            let event = sealed.record.map(View::from);
            let line = Exported { position, link: hex::encode(sealed.seal.link), event };
            writeln!(out, "{}", json::line(&line)?)?;
        }
        if position <= before || position >= head {
            return Ok(out.flush()?);
        }
    }
}

fn report(report: &LogReport, json: bool) -> anyhow::Result<()> {
    let head = format!("{}:{}", report.head.position, hex::encode(report.head.link));
    if json {
        let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        say(&json::pretty(&serde_json::json!({
            "sealed": report.sealed,
            "deleted_up_to": report.cut,
            "oldest": report.oldest.map(Timestamp::to_rfc3339),
            "head": head,
            "found": report.found,
            "findings": findings,
        }))?);
    } else {
        say(&format!("{} entries are on the chain, after {} that were deleted by age", report.sealed, report.cut));
        say(&format!("the newest is {head}; write it down elsewhere, and give it to --expect later"));
        for finding in &report.findings {
            say(&finding.to_string());
        }
        let unnamed = report.found.saturating_sub(report.findings.len() as u64);
        if unnamed > 0 {
            complain(&format!("and {unnamed} more"));
        }
    }
    match report.found {
        0 => Ok(()),
        1 => bail!("the security log is not what was written: 1 finding"),
        n => bail!("the security log is not what was written: {n} findings"),
    }
}

fn parse_place(text: &str) -> Result<KnownPlace, BadUsage> {
    let place = text.split_once(':').and_then(|(position, link)| {
        let position = position.parse::<i64>().ok().filter(|position| *position >= 0)?;
        let mut known = KnownPlace { position, link: ChainLink::default() };
        hex::decode_to_slice(link, &mut known.link).ok()?;
        Some(known)
    });
    place.ok_or_else(|| BadUsage(format!("--expect {text:?} is not a place as POSITION:LINK")))
}

/// An entry as an operator sees it, each field as it is stored.
#[derive(Serialize)]
struct View {
    id: String,
    at: String,
    kind: String,
    reason: Option<String>,
    count: i64,
    user_id: Option<String>,
    session_id: Option<String>,
    ip: Option<String>,
    user_agent: Option<String>,
    request_id: Option<String>,
}

impl From<EventRecord> for View {
    fn from(record: EventRecord) -> Self {
        let EventRecord { id, at, kind, reason, user_id, session_id, ip, user_agent, request_id, count } = record;
        Self {
            id: id.to_string(),
            at: at.to_rfc3339(),
            kind,
            reason,
            count,
            user_id: user_id.map(|id| id.to_string()),
            session_id: session_id.map(|id| id.to_string()),
            ip,
            user_agent,
            request_id,
        }
    }
}

/// An entry with its place on the chain; without the entry, where somebody has removed it.
#[derive(Serialize)]
struct Exported {
    position: i64,
    link: String,
    event: Option<View>,
}
