//! One file of rows against a service of its own.

use std::collections::HashMap;

use super::inside::{Inside, unlike};
use super::message::Message;
use super::recorder::Recorder;
use super::rows::{File, Row, Step, text};
use super::{h1, h2, judge};
use crate::demo::Demo;

/// How many rows ran, and what each that failed says.
#[derive(Debug, Default)]
pub struct Outcome {
    pub rows: usize,
    pub failed: Vec<String>,
}

/// What an answer may be when only that it comes matters.
pub fn any_answer() -> (String, String) {
    ("any".to_owned(), "-".to_owned())
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wire {
    H1,
    H2,
}

enum Connection {
    H1(h1::Connection),
    H2(h2::Connection),
}

impl Connection {
    async fn open(wire: Wire, address: &str) -> Self {
        match wire {
            Wire::H1 => Self::H1(h1::Connection::open(address).await),
            Wire::H2 => Self::H2(h2::Connection::open(address).await),
        }
    }

    async fn send(
        &mut self,
        step: &Step,
        names: &HashMap<String, String>,
    ) -> Vec<Result<Message, String>> {
        match self {
            Self::H1(connection) => connection.send(step, names).await,
            Self::H2(connection) => connection.send(step, names).await,
        }
    }
}

struct Runner {
    demo: Demo,
    recorder: Recorder,
    inside: Inside,
    names: HashMap<String, String>,
    outcome: Outcome,
}

/// Runs every row in each protocol that it is for; a row counts once per protocol.
pub async fn run(name: &str, rows: &str, seed: &str) -> Outcome {
    let file = File::read(rows);
    let recorder = Recorder::default();
    let url = recorder.start().await;
    let mut args: Vec<&str> = vec!["--seed", seed];
    for flag in &file.start {
        args.push(flag);
        if flag == "--upstream" {
            args.push(&url);
        }
    }
    let demo = Demo::start(&args).await;
    let mut names = demo.tokens.clone();
    for (name, url) in [("main", &demo.url), ("admin", &demo.admin), ("upstream", &url)] {
        names.insert(name.to_owned(), url.trim_start_matches("http://").to_owned());
    }
    let inside = Inside::start().await;
    let mut runner = Runner { demo, recorder, inside, names, outcome: Outcome::default() };
    for row in &file.rows {
        for (wire, word) in [(Wire::H1, "h1"), (Wire::H2, "h2")] {
            let only = row.only.as_deref();
            if only.is_none_or(|only| only == word) && (wire == Wire::H1 || !row.has_raw()) {
                let faults = runner.row(row, wire).await;
                runner.outcome.rows += 1;
                if !faults.is_empty() {
                    let Row { id, title, .. } = row;
                    let faults = faults.join("; ");
                    runner.outcome.failed.push(format!("{name} {id} {title} ({word}): {faults}"));
                }
            }
        }
    }
    runner.outcome
}

impl Row {
    fn has_raw(&self) -> bool {
        self.steps.iter().any(|step| step.raw.is_some())
    }
}

impl Runner {
    async fn row(&mut self, row: &Row, wire: Wire) -> Vec<String> {
        let mut faults = Vec::new();
        let mut open: HashMap<String, Connection> = HashMap::new();
        self.recorder.take();
        for (at, step) in row.steps.iter().enumerate() {
            let address = self.address(&step.to);
            let wire = if step.to.ends_with(" h2") { Wire::H2 } else { wire };
            if !open.contains_key(&step.to) {
                open.insert(step.to.clone(), Connection::open(wire, &address).await);
            }
            let connection = open.get_mut(&step.to).unwrap();
            let names = if step.to == "inside" { &self.inside.names } else { &self.names };
            let answers = connection.send(step, names).await;
            let mut wrong = compared(&answers, step, names);
            if step.checks.iter().any(|(word, _)| word == "closed") {
                let h1 = open.remove(&step.to);
                if let Some(Connection::H1(mut connection)) = h1
                    && !connection.ends().await
                {
                    wrong.push("not closed".to_owned());
                }
            } else if answers.iter().any(Result::is_err) {
                open.remove(&step.to);
            }
            wrong.extend(judge::upstream(&self.recorder.take(), step, &self.names));
            let last = answers.iter().rev().find_map(|answer| answer.as_ref().ok());
            if let Some(last) = last {
                wrong.extend(self.counted(step, last, wire).await);
                self.keep(step, last);
            }
            faults.extend(wrong.into_iter().map(|what| format!("step {}: {what}", at + 1)));
        }
        for (to, mut connection) in open {
            let (connection, address) = (&mut connection, self.address(&to));
            faults.extend(self.alive(connection, &to, "the connection").await);
            let mut fresh = Connection::open(Wire::H1, &address).await;
            faults.extend(self.alive(&mut fresh, &to, "the service").await);
        }
        let (mut fresh, main) = (Connection::open(Wire::H1, &self.address("main")).await, "main");
        faults.extend(self.alive(&mut fresh, main, "the service").await);
        faults
    }

    fn address(&self, to: &str) -> String {
        match to.trim_end_matches(" h2") {
            "inside" => self.inside.address.clone(),
            "admin" => self.demo.admin.trim_start_matches("http://").to_owned(),
            _ => self.demo.url.trim_start_matches("http://").to_owned(),
        }
    }

    /// One ordinary request passes, and its answer is the next thing that comes.
    async fn alive(&self, connection: &mut Connection, to: &str, who: &str) -> Option<String> {
        let (target, want) = match to.trim_end_matches(" h2") {
            "main" => ("/healthz", "{\"status\":\"ok\"}"),
            "inside" => ("/public/x", "/public/x\n"),
            _ => ("/nowhere", "not_found"),
        };
        let step = Step {
            method: "GET".to_owned(),
            target: target.to_owned(),
            times: 1,
            answers: vec![any_answer()],
            ..Step::default()
        };
        let answers = connection.send(&step, &self.names).await;
        let fine = answers
            .iter()
            .all(|answer| answer.as_ref().is_ok_and(|answer| answer.text().contains(want)));
        (!fine).then(|| format!("{who} does not answer an ordinary request: {answers:?}"))
    }

    /// The same request at the stack in this process: the same answer, after so many store calls.
    async fn counted(&self, step: &Step, there: &Message, wire: Wire) -> Vec<String> {
        let mut faults = Vec::new();
        for (_, calls) in step.checks.iter().filter(|(word, _)| word == "calls") {
            let before = self.inside.calls();
            let here = if step.to == "inside" {
                Ok(there.clone()) // it was counted with the row
            } else {
                let mut connection = Connection::open(wire, &self.inside.address).await;
                connection.send(step, &self.inside.names).await.remove(0)
            };
            let asked = self.inside.calls() - before;
            if asked.to_string() != *calls {
                faults.push(format!("{asked} store calls"));
            }
            match here {
                Ok(here) if !unlike(there, &here) => {}
                here => faults.push(format!("another answer in this process: {here:?}")),
            }
        }
        faults
    }

    fn keep(&mut self, step: &Step, answer: &Message) {
        for (_, rest) in step.checks.iter().filter(|(word, _)| word == "keep") {
            let (name, member) = rest.split_once(' ').unwrap();
            let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let value = json[member].as_str().unwrap_or_default().to_owned();
            self.names.insert(name.to_owned(), value);
        }
    }
}

fn compared(
    answers: &[Result<Message, String>],
    step: &Step,
    names: &HashMap<String, String>,
) -> Vec<String> {
    if let [(word, tally)] = &step.answers[..]
        && word == "tally"
    {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for answer in answers {
            let status =
                answer.as_ref().map_or_else(Clone::clone, |answer| answer.status().to_string());
            *counts.entry(status).or_default() += 1;
        }
        let want = tally.split(' ').map(|part| part.split_once('=').unwrap());
        let want = want.map(|(status, count)| (status.to_owned(), count.parse().unwrap()));
        let wrong = counts != want.collect();
        return if wrong { vec![format!("tally {counts:?}")] } else { Vec::new() };
    }
    let mut faults = Vec::new();
    for (at, want) in step.answers.iter().enumerate() {
        match answers.get(at) {
            Some(Err(why)) if want.0.starts_with("cut") && why.starts_with("cut") => {}
            Some(Ok(answer)) if want.0 != "cut" => {
                faults.extend(judge::faults(answer, want, step, names));
                if at + 1 == step.answers.len() {
                    faults.extend(judge::checks(answer, step, names));
                }
                if !faults.is_empty() {
                    faults.push(format!("{} {:?}", answer.start, answer.text()));
                }
            }
            other => faults.push(format!("want {}, got {other:?}", text(&want.0, names))),
        }
    }
    for extra in answers.iter().skip(step.answers.len()) {
        if step.times > 1 {
            let Ok(answer) = extra else { continue };
            faults.extend(judge::faults(answer, &step.answers[0], step, names));
        }
    }
    faults
}
