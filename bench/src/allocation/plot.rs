//! The picture of a measurement: the time and the processor time of one change over the number of Egresses.
//!
//! Owns its look. Never calculates more than places.

use std::time::Duration;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::measure::{Change, Figures};

const SIZE: (u32, u32) = (980, 420);
const COUNTS: std::ops::Range<f64> = 70.0..14_000.0;
const FONT: &str = "sans-serif";

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// A word for a line, and its points: Egresses and milliseconds.
type Line = (&'static str, Vec<(f64, f64)>);

const COLOURS: [RGBColor; 2] = [RGBColor(0x00, 0x5f, 0xb8), RGBColor(0xd9, 0x6b, 0x00)];

/// The picture as SVG.
pub fn drawn(figures: &[Figures]) -> anyhow::Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let (left, right) = root.split_horizontally(SIZE.0 / 2);
        let median = |change: &Change| change.times.percentile(50);
        draw(
            &left,
            "Until the objects say it: median",
            &lines(figures, median),
        )?;
        let each = Change::processor_each;
        draw(
            &right,
            "Processor time of the operator, per Egress concerned",
            &lines(figures, each),
        )?;
        root.present()?;
    }
    Ok(svg)
}

fn lines(figures: &[Figures], of: impl Fn(&Change) -> Duration) -> [Line; 2] {
    let line = |change: fn(&Figures) -> &Change| {
        let points = figures.iter().map(|figures| {
            let count = u32::try_from(figures.world.egresses).unwrap_or(u32::MAX);
            (f64::from(count), of(change(figures)).as_secs_f64() * 1e3)
        });
        points.collect()
    };
    [
        ("one more Egress", line(|figures| &figures.more)),
        ("one node less", line(|figures| &figures.less)),
    ]
}

fn draw(field: &Area<'_>, title: &str, lines: &[Line]) -> anyhow::Result<()> {
    let all = lines.iter().flat_map(|(_, points)| points);
    let most = all.map(|(_, ms)| *ms).fold(0.1, f64::max);
    let mut chart = ChartBuilder::on(field)
        .caption(title, (FONT, 16))
        .margin(12)
        .x_label_area_size(38)
        .y_label_area_size(54)
        .build_cartesian_2d(COUNTS.log_scale(), 0.0..most * 1.3)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("Egresses")
        .y_desc("ms")
        .x_label_formatter(&|count| format!("{count:.0}"))
        .label_style((FONT, 12))
        .draw()?;
    for ((word, points), colour) in lines.iter().zip(COLOURS) {
        let series = LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(4);
        chart
            .draw_series(series)?
            .label(*word)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font((FONT, 13))
        .border_style(TRANSPARENT)
        .draw()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::world::World;
    use super::*;

    #[test]
    fn both_changes_are_drawn_in_both_fields() {
        let change = Change {
            times: [Duration::from_millis(7)].into_iter().collect(),
            ..Change::default()
        };
        let figures = World::ALL.map(|world| Figures {
            world,
            created: Duration::ZERO,
            allocated: Duration::ZERO,
            filling: super::super::operator::Used::default(),
            resident: crate::machine::Resident::default(),
            more: change.clone(),
            less: change.clone(),
        });
        let svg = drawn(&figures).unwrap();
        for word in ["one more Egress", "one node less"] {
            assert_eq!(svg.matches(word).count(), 2, "{word}");
        }
    }
}
