//! The picture of a measurement: ratios to the baselines over the number of Egresses.
//!
//! Owns its look. Never calculates more than places.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::measure::{Line, Middle};
use super::path::Path;
use super::traffic::Kind;

const SIZE: (u32, u32) = (980, 420);
const COUNTS: std::ops::Range<f64> = 0.7..14_000.0;
const RATIOS: std::ops::Range<f64> = 0.0..1.3;
/// What is to be reached.
const GOAL: f64 = 0.97;
const FONT: &str = "sans-serif";

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// A word for a series, and its points: Egresses and ratio.
type Series = (&'static str, Vec<(f64, f64)>);

const COLOURS: [RGBColor; 4] = [
    RGBColor(0x00, 0x5f, 0xb8),
    RGBColor(0xd9, 0x6b, 0x00),
    RGBColor(0x2e, 0x7d, 0x32),
    RGBColor(0x88, 0x88, 0x88),
];

/// The picture as SVG.
pub fn drawn(lines: &[Line]) -> anyhow::Result<String> {
    let selected = |path| match path {
        Path::Selected(count) => Some(count),
        _ => None,
    };
    let unselected = |path| match path {
        Path::Unselected(count) => Some(count),
        _ => None,
    };
    let peers = |path| match path {
        Path::Peers(count) => Some(count),
        _ => None,
    };
    let mut through = Kind::ALL.map(|kind| series(lines, kind, selected)).to_vec();
    let (_, of_peers) = series(lines, Kind::Requests, peers);
    through.push(("requests/s, iptables and ipset", of_peers));
    let beside = Kind::ALL.map(|kind| series(lines, kind, unselected));
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let (left, right) = root.split_horizontally(SIZE.0 / 2);
        draw(&left, "Through the gateway, to bare VXLAN", &through)?;
        draw(&right, "Not selected, to a node without Egret", &beside)?;
        root.present()?;
    }
    Ok(svg)
}

/// A kind's ratios on the ways that have a count.
fn series(lines: &[Line], kind: Kind, count: fn(Path) -> Option<usize>) -> Series {
    let find = |path| lines.iter().find(|line: &&Line| line.path == path);
    let points = lines.iter().filter_map(|line| {
        let count = u32::try_from(count(line.path)?).ok()?;
        let baseline = find(line.path.baseline())?;
        let ratio = Middle::of_ratios(line, baseline, kind).median;
        Some((f64::from(count), ratio))
    });
    (kind.title(), points.collect())
}

fn draw(field: &Area<'_>, title: &str, all: &[Series]) -> anyhow::Result<()> {
    let mut chart = ChartBuilder::on(field)
        .caption(title, (FONT, 16))
        .margin(12)
        .x_label_area_size(38)
        .y_label_area_size(54)
        .build_cartesian_2d(COUNTS.log_scale(), RATIOS)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("Egresses")
        .y_desc("ratio")
        .x_label_formatter(&|count| format!("{count:.0}"))
        .y_label_formatter(&|ratio| format!("{ratio:.2}"))
        .label_style((FONT, 12))
        .draw()?;
    let goal = [(COUNTS.start, GOAL), (COUNTS.end, GOAL)];
    chart.draw_series(LineSeries::new(goal, BLACK.mix(0.4)))?;
    for ((word, points), colour) in all.iter().zip(COLOURS) {
        let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(4);
        chart
            .draw_series(line)?
            .label(*word)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .label_font((FONT, 13))
        .border_style(TRANSPARENT)
        .draw()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    #[test]
    fn all_kinds_are_drawn_in_both_fields() {
        let paths = [
            Path::Bare,
            Path::Node,
            Path::Peers(1),
            Path::Selected(1),
            Path::Unselected(1),
        ];
        let lines = paths.map(|path| Line {
            path,
            rates: Kind::ALL.map(|kind| (kind, vec![1.0])).into(),
            latency: Sample::default(),
        });
        let svg = drawn(&lines).unwrap();
        for kind in [Kind::Throughput, Kind::Connections] {
            assert_eq!(svg.matches(kind.title()).count(), 2, "{kind:?}");
        }
        assert_eq!(svg.matches("ipset").count(), 1);
    }
}
