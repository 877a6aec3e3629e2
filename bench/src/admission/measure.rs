//! The measurement.
//!
//! Owns its order: the same question goes to the large world and to the small one by turns, so that whatever else the
//! machine does meets both. Every answer is checked. Never writes anything down.

use std::time::Duration;

use anyhow::Context;
use futures::future::try_join_all;

use super::asker::{Asker, Server};
use super::question::{Prepared, Question, VARIANTS};
use super::subject::Subject;
use super::world::World;
use crate::sample::Sample;

/// For so many rounds that count there is one before them that does not.
const WARMUP: usize = 10;
/// Connections of the API server where there are several.
pub const CONNECTIONS: usize = 4;

/// From where questions are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Inside the process, bytes to bytes.
    Inside,
    /// Over TLS, by one client.
    OneClient,
    /// Over TLS, by several at once.
    SeveralClients,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Inside, Self::OneClient, Self::SeveralClients];

    /// In a few words.
    pub fn title(self) -> &'static str {
        match self {
            Self::Inside => "Inside the process",
            Self::OneClient => "As a client sees it",
            Self::SeveralClients => "As one of four clients sees it, who ask at once",
        }
    }

    fn askers(self) -> usize {
        match self {
            Self::Inside | Self::OneClient => 1,
            Self::SeveralClients => CONNECTIONS,
        }
    }
}

/// What was measured of one question at one place.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// From where.
    pub place: Place,
    /// What.
    pub question: Question,
    /// In the world that is measured.
    pub large: Sample,
    /// In the one that it is compared with.
    pub small: Sample,
}

/// A world with a webhook, and who asks it what.
struct Side {
    world: World,
    subject: Subject,
    server: Server,
}

impl Side {
    async fn of(world: World) -> anyhow::Result<Self> {
        let subject = Subject::of(world).await?;
        let server = Server::of(subject.router.clone()).await?;
        Ok(Self {
            world,
            subject,
            server,
        })
    }

    async fn askers(&self, place: Place) -> anyhow::Result<Vec<Asker>> {
        let mut askers = Vec::new();
        for _ in 0..place.askers() {
            askers.push(match place {
                Place::Inside => Asker::Inside(self.subject.router.clone()),
                Place::OneClient | Place::SeveralClients => self.server.client().await?,
            });
        }
        Ok(askers)
    }
}

/// Measures everything, with so many answers to each question.
pub async fn measure(answers: usize) -> anyhow::Result<Vec<Figure>> {
    eprintln!("admission: filling two webhooks");
    let sides = [Side::of(World::LARGE).await?, Side::of(World::SMALL).await?];
    let mut figures = Vec::new();
    for place in Place::ALL {
        for question in Question::ALL {
            eprintln!("admission: {}: {}", place.title(), question.title());
            let figure = figure(&sides, place, question, answers).await;
            figures.push(figure.with_context(|| question.title())?);
        }
    }
    Ok(figures)
}

async fn figure(
    sides: &[Side; 2],
    place: Place,
    question: Question,
    answers: usize,
) -> anyhow::Result<Figure> {
    let [large, small] = sides;
    let mut contenders = [
        Contender::of(large, place, question).await?,
        Contender::of(small, place, question).await?,
    ];
    let rounds = answers.div_ceil(place.askers());
    let warmup = rounds.div_ceil(WARMUP);
    for round in 0..warmup + rounds {
        // Who comes second finds the other's data in the processor's caches: so by turns.
        contenders.reverse();
        for contender in &mut contenders {
            contender.ask(round, round >= warmup).await?;
        }
    }
    let times = |world: World| {
        let mut of_world = contenders.iter().filter(|side| side.world == world);
        let times = of_world.next().map(|side| side.times.iter().copied());
        times.into_iter().flatten().collect::<Sample>()
    };
    Ok(Figure {
        place,
        question,
        large: times(large.world),
        small: times(small.world),
    })
}

/// One world's part in a comparison.
struct Contender {
    world: World,
    askers: Vec<Asker>,
    questions: Vec<Prepared>,
    times: Vec<Duration>,
}

impl Contender {
    async fn of(side: &Side, place: Place, question: Question) -> anyhow::Result<Self> {
        Ok(Self {
            world: side.world,
            askers: side.askers(place).await?,
            questions: question.prepared(side.world)?,
            times: Vec::new(),
        })
    }

    /// Asks once from each place at once.
    async fn ask(&mut self, round: usize, counts: bool) -> anyhow::Result<()> {
        let count = self.askers.len();
        let questions = (0..count).filter_map(|asker| {
            let variant = (round * count + asker) % VARIANTS;
            self.questions.get(variant)
        });
        let asked = self.askers.iter_mut().zip(questions);
        let told = try_join_all(asked.map(async |(asker, question)| {
            let (time, answer) = asker.ask(question).await?;
            anyhow::Ok((time, answer, question))
        }));
        for (time, answer, question) in told.await? {
            question.check(&answer)?;
            if counts {
                self.times.push(time);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_question_is_answered_as_expected_at_every_place() {
        let world = World {
            egresses: 30,
            pools: 3,
        };
        let sides = [
            Side::of(world).await.unwrap(),
            Side::of(World::SMALL).await.unwrap(),
        ];
        for place in Place::ALL {
            for question in Question::ALL {
                let figure = figure(&sides, place, question, 8).await;
                let figure = figure.unwrap_or_else(|error| panic!("{question:?}: {error:#}"));
                assert_eq!((figure.large.count(), figure.small.count()), (8, 8));
            }
        }
    }
}
