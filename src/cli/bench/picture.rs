//! Plot of the latency distribution as SVG: the share of calls that were answered within a time, on
//! a logarithmic scale.

use std::fmt::Write;

use hdrhistogram::Histogram;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 56.0;
const BELOW: f64 = 40.0;
const ABOVE: f64 = 32.0;

/// Draws a histogram of latencies in nanoseconds, and returns the text of the SVG file.
pub(super) fn svg(latencies: &Histogram<u64>, title: &str) -> String {
    let (least, most) = (decade(latencies.min().max(1)).floor(), decade(latencies.max()).ceil());
    let across = |nanos: u64| {
        let part = (decade(nanos) - least) / (most - least).max(1.0);
        LEFT + part * (WIDTH - LEFT - 16.0)
    };
    let down = |part: f64| HEIGHT - BELOW - part * (HEIGHT - BELOW - ABOVE);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"18\" font-size=\"13\">{title}</text>\n"
    );
    let mut line = |x1: f64, y1: f64, x2: f64, y2: f64, x: f64, y: f64, anchor, text: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(
            svg,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#555\">{text}</text>"
        );
    };
    for percent in [0_u8, 25, 50, 75, 90, 99] {
        let y = down(f64::from(percent) / 100.0);
        line(LEFT, y, WIDTH - 16.0, y, LEFT - 6.0, y + 4.0, "end", &format!("{percent} %"));
    }
    let mut nanos = 1_u64;
    while decade(nanos) <= most {
        if decade(nanos) >= least {
            let x = across(nanos);
            let label = label(nanos);
            line(x, ABOVE, x, HEIGHT - BELOW, x, HEIGHT - BELOW + 16.0, "middle", &label);
        }
        nanos *= 10;
    }
    let points = latencies.iter_quantiles(8).map(|step| {
        let (x, y) = (across(step.value_iterated_to().max(1)), down(step.quantile()));
        format!("{x:.1},{y:.1}")
    });
    let points = points.collect::<Vec<_>>().join(" ");
    let _ = write!(
        svg,
        "<polyline points=\"{points}\" fill=\"none\" stroke=\"#06c\" stroke-width=\"2\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555\">\
         answered within</text>\n</svg>\n",
        LEFT + (WIDTH - LEFT) / 2.0,
        HEIGHT - 6.0
    );
    svg
}

#[expect(clippy::cast_precision_loss, reason = "a picture has some hundreds of points across")]
fn decade(nanos: u64) -> f64 {
    (nanos as f64).log10()
}

fn label(nanos: u64) -> String {
    match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{} µs", nanos / 1_000),
        1_000_000..1_000_000_000 => format!("{} ms", nanos / 1_000_000),
        _ => format!("{} s", nanos / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_shows_what_was_measured() {
        let mut latencies = Histogram::new_with_bounds(1, 60_000_000_000, 3).unwrap();
        for micros in 1..=1_000 {
            latencies.record(micros * 1_000).unwrap();
        }
        let svg = svg(&latencies, "issue");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
        for text in ["issue", "50 %", "99 %", "1 µs", "100 µs", "1 ms", "<polyline"] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
