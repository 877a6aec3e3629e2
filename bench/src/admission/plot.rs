//! The picture of a measurement: a field for each question, and in it the distribution of the times.
//!
//! Owns its look. Never calculates more than places.

use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::measure::{Figure, Place};
use super::question::Question;
use super::world::World;
use crate::sample::Sample;

const SIZE: (u32, u32) = (980, 1180);
const COLUMNS: usize = 2;
/// For the legend.
const HEAD: i32 = 104;
/// Each curve has so many points.
const POINTS: usize = 200;
/// The time axis, in milliseconds.
const TIMES: std::ops::Range<f64> = 0.005..20.0;
const GOAL_MS: f64 = 5.0;

const LARGE: RGBColor = RGBColor(0x00, 0x5f, 0xb8);
const SMALL: RGBColor = RGBColor(0xd9, 0x6b, 0x00);
const GOAL: RGBColor = RGBColor(0x99, 0x99, 0x99);
/// Of dashed lines, in pixels.
const DASH: u32 = 6;
const GAP: u32 = 4;
const FONT: &str = "sans-serif";

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// One kind of line.
struct Line {
    place: Place,
    is_large: bool,
}

const LINES: [Line; 4] = [
    Line {
        place: Place::Inside,
        is_large: true,
    },
    Line {
        place: Place::Inside,
        is_large: false,
    },
    Line {
        place: Place::OneClient,
        is_large: true,
    },
    Line {
        place: Place::OneClient,
        is_large: false,
    },
];

impl Line {
    fn title(&self) -> String {
        let world = if self.is_large {
            World::LARGE
        } else {
            World::SMALL
        };
        format!("{world}: {}", self.place.title().to_lowercase())
    }

    /// Where its words begin in the legend.
    fn corner(&self) -> (i32, i32) {
        let x = if self.is_large { 60 } else { 540 };
        let y = if self.is_dashed() { 26 } else { 52 };
        (x, y)
    }

    fn colour(&self) -> RGBColor {
        if self.is_large { LARGE } else { SMALL }
    }

    fn is_dashed(&self) -> bool {
        self.place == Place::Inside
    }

    fn sample<'a>(&self, figure: &'a Figure) -> &'a Sample {
        if self.is_large {
            &figure.large
        } else {
            &figure.small
        }
    }
}

/// The picture as SVG.
pub fn drawn(figures: &[Figure]) -> anyhow::Result<String> {
    let mut svg = String::new();
    draw(figures, &mut svg)?;
    Ok(svg)
}

fn draw(figures: &[Figure], svg: &mut String) -> anyhow::Result<()> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, body) = root.split_vertically(HEAD);
    draw_legend(&head)?;
    let fields = body.split_evenly((Question::ALL.len().div_ceil(COLUMNS), COLUMNS));
    for (field, question) in fields.iter().zip(Question::ALL) {
        draw_question(field, question, figures)?;
    }
    root.present()?;
    Ok(())
}

/// What the colours and dashes mean: a column for each world, a row for each place.
fn draw_legend(head: &Area<'_>) -> anyhow::Result<()> {
    let words = TextStyle::from((FONT, 14)).pos(Pos::new(HPos::Left, VPos::Center));
    for line in &LINES {
        let (x, y) = line.corner();
        let ends = [(x, y), (x + 40, y)];
        if line.is_dashed() {
            let style = line.colour().stroke_width(2);
            head.draw(&DashedPathElement::new(ends, DASH, GAP, style))?;
        } else {
            head.draw(&PathElement::new(ends, line.colour().stroke_width(2)))?;
        }
        head.draw(&Text::new(line.title(), (x + 50, y), words.clone()))?;
    }
    let above = "Share of answers (%) within a time (ms). Grey: the goal, 5 ms.";
    head.draw(&Text::new(above, (60, 84), words))?;
    Ok(())
}

fn draw_question(field: &Area<'_>, question: Question, figures: &[Figure]) -> anyhow::Result<()> {
    let title = format!("{}: {}", question.title(), question.outcome());
    let mut chart = ChartBuilder::on(field)
        .caption(title, (FONT, 16))
        .margin(10)
        .x_label_area_size(38)
        .y_label_area_size(44)
        .build_cartesian_2d(TIMES.log_scale(), 0.0..100.0)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("ms")
        .x_label_formatter(&|ms| format!("{ms}"))
        .y_label_formatter(&|percent| format!("{percent:.0}"))
        .y_labels(5)
        .label_style((FONT, 12))
        .draw()?;
    let goal = [(GOAL_MS, 0.0), (GOAL_MS, 100.0)];
    chart.draw_series(LineSeries::new(goal, GOAL.stroke_width(2)))?;
    for line in &LINES {
        let mut of_place = figures.iter().filter(|figure| figure.place == line.place);
        let Some(figure) = of_place.find(|figure| figure.question == question) else {
            continue;
        };
        let points = curve(line.sample(figure));
        let style = line.colour().stroke_width(2);
        if line.is_dashed() {
            chart.draw_series(DashedLineSeries::new(points, DASH, GAP, style))?;
        } else {
            chart.draw_series(LineSeries::new(points, style))?;
        }
    }
    Ok(())
}

/// The share of answers in percent over the time in milliseconds.
fn curve(sample: &Sample) -> Vec<(f64, f64)> {
    let points = sample.distribution(POINTS);
    points
        .map(|(time, share)| (time.as_secs_f64() * 1e3, share))
        .map(|(ms, share)| (ms.clamp(TIMES.start, TIMES.end), share))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_question_has_a_field_and_each_line_a_word() {
        let sample: Sample = (1..100).map(Duration::from_micros).collect();
        let figures = Question::ALL.map(|question| Figure {
            place: Place::Inside,
            question,
            large: sample.clone(),
            small: sample.clone(),
        });
        let svg = drawn(&figures).unwrap();
        for words in Question::ALL.map(Question::title) {
            assert!(svg.contains(words), "no {words:?}");
        }
        for line in &LINES {
            assert!(svg.contains(&line.title()));
        }
    }

    #[test]
    fn what_does_not_fit_stands_at_the_edge() {
        let sample: Sample = [1, 90_000].map(Duration::from_micros).into_iter().collect();
        let curve = curve(&sample);
        assert_eq!(curve.first().map(|(ms, _)| *ms), Some(TIMES.start));
        assert_eq!(curve.last(), Some(&(TIMES.end, 100.0)));
    }
}
