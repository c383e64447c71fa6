//! Draws a flower of the sample garden: curved petals in space, rasterised with a depth buffer over a blurred
//! background and then "photographed".

use std::f32::consts::{FRAC_PI_2, PI, TAU};

use image::{DynamicImage, Rgb32FImage, RgbImage, imageops::FilterType};

use super::species::{GREEN, Habit, Mark, Species, Whorl};
use crate::random::Random;

/// Golden angle: spreads florets and layers evenly, as plants do.
const GOLDEN: f32 = 2.399_963;

/// Background colours: top, bottom and the tint of what is out of focus in it.
const BACKDROPS: [[u32; 3]; 7] = [
    [0x7f9f58, 0x38592a, 0xa8c878],
    [0x2a4426, 0x14261a, 0x4f7a3c],
    [0xb4d0ec, 0x6f9454, 0xe4ecf0],
    [0x6a7a48, 0x54402e, 0x8a6a4c],
    [0xe0be80, 0x6a7438, 0xffe0a0],
    [0xc4d0c0, 0x6e8a6c, 0xe8eee0],
    [0x4c6a6c, 0x1e3430, 0x88b0a0],
];

type V3 = [f32; 3];

pub(super) fn add(a: V3, b: V3) -> V3 {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}
pub(super) fn sub(a: V3, b: V3) -> V3 {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}
fn times(a: V3, b: V3) -> V3 {
    [a[0] * b[0], a[1] * b[1], a[2] * b[2]]
}
pub(super) fn scale(a: V3, k: f32) -> V3 {
    [a[0] * k, a[1] * k, a[2] * k]
}
fn mix(a: V3, b: V3, t: f32) -> V3 {
    add(scale(a, 1.0 - t), scale(b, t))
}
pub(super) fn dot(a: V3, b: V3) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}
fn cross([a, b, c]: V3, [x, y, z]: V3) -> V3 {
    [b * z - c * y, c * x - a * z, a * y - b * x]
}
fn length(a: V3) -> f32 {
    dot(a, a).sqrt()
}
fn unit(a: V3) -> V3 {
    scale(a, 1.0 / length(a).max(1e-6))
}
fn smooth(from: f32, to: f32, x: f32) -> f32 {
    let t = ((x - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}
/// A colour as light: squared, which is close to what a display does with it.
fn light_of(hex: u32) -> V3 {
    [16, 8, 0].map(|shift| ((hex >> shift & 255) as f32 / 255.0).powi(2))
}

/// The same seed, the same picture.
struct Rng(Random);

impl Rng {
    fn seeded(name: &str, number: usize) -> Self {
        let stir = |seed: u64, byte: u8| (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        Rng(Random::new(name.bytes().fold(0xcbf2_9ce4_8422_2325 ^ number as u64, stir)))
    }
    fn next(&mut self) -> f32 {
        (self.0.next_u64() >> 40) as f32 / (1 << 24) as f32
    }
    fn within(&mut self, from: f32, to: f32) -> f32 {
        from + (to - from) * self.next()
    }
    fn around(&mut self, middle: f32, spread: f32) -> f32 {
        self.within(middle - spread, middle + spread)
    }
    fn pick(&mut self, count: usize) -> usize {
        (self.next() * count as f32) as usize
    }
    fn tint(&mut self, spread: f32) -> V3 {
        [0; 3].map(|_| self.around(1.0, spread))
    }
}

/// Where a flower stands: x right, y down, z to the viewer. Its own z is the axis it grows along.
struct Frame {
    origin: V3,
    axes: [V3; 3],
    size: f32,
}

impl Frame {
    fn new(origin: V3, axis: V3, roll: f32, size: f32) -> Self {
        let down = if axis[1].abs() > 0.98 { [0.0, 0.0, -axis[1]] } else { [0.0, 1.0, 0.0] };
        let level = unit(cross(down, axis));
        let x = add(scale(level, roll.cos()), scale(cross(axis, level), roll.sin()));
        Frame { origin, axes: [x, cross(axis, x), axis], size }
    }
    fn direction(&self, v: V3) -> V3 {
        let [x, y, z] = self.axes;
        add(add(scale(x, v[0]), scale(y, v[1])), scale(z, v[2]))
    }
    fn point(&self, v: V3) -> V3 {
        add(self.origin, scale(self.direction(v), self.size))
    }
}

/// A corner of a surface: where it is, and the light it sends.
type Corner = (V3, V3);

/// Pixels with depth: what is nearer hides what is behind.
struct Canvas {
    width: usize,
    height: usize,
    light: V3,
    colour: Vec<V3>,
    depth: Vec<f32>,
    rng: Rng,
}

impl Canvas {
    fn new([width, height]: [usize; 2], light: V3, rng: Rng) -> Self {
        let (colour, depth) = (vec![[0.0; 3]; width * height], vec![f32::MIN; width * height]);
        Canvas { width, height, light, colour, depth, rng }
    }

    fn lit(&self, colour: V3, normal: V3) -> V3 {
        let facing = dot(normal, self.light);
        let strength = if facing > 0.0 { 0.62 } else { 0.12 };
        scale(colour, 0.5 + strength * facing)
    }

    fn put(&mut self, at: usize, depth: f32, colour: V3) {
        if depth > self.depth[at] {
            (self.depth[at], self.colour[at]) = (depth, colour);
        }
    }

    fn triangle(&mut self, (a, lit_a): Corner, (b, lit_b): Corner, (c, lit_c): Corner) {
        let (ab, ac) = (sub(b, a), sub(c, a));
        let area = ab[0] * ac[1] - ab[1] * ac[0];
        if area.abs() < 1e-4 {
            return;
        }
        let range = |i: usize| (a[i].min(b[i]).min(c[i]), a[i].max(b[i]).max(c[i]));
        for y in pixels(range(1), self.height) {
            for x in pixels(range(0), self.width) {
                let (dx, dy) = (x as f32 - a[0], y as f32 - a[1]);
                let to_b = (dx * ac[1] - dy * ac[0]) / area;
                let to_c = (dy * ab[0] - dx * ab[1]) / area;
                let to_a = 1.0 - to_b - to_c;
                if to_a.min(to_b).min(to_c) >= -1e-4 {
                    let lit = add(scale(lit_a, to_a), scale(lit_b, to_b));
                    let lit = add(lit, scale(lit_c, to_c));
                    self.put(y * self.width + x, a[2] + ab[2] * to_b + ac[2] * to_c, lit);
                }
            }
        }
    }

    fn ball(&mut self, [x0, y0, z0]: V3, radius: f32, colour: V3) {
        for y in pixels((y0 - radius, y0 + radius), self.height) {
            for x in pixels((x0 - radius, x0 + radius), self.width) {
                let (dx, dy) = ((x as f32 - x0) / radius, (y as f32 - y0) / radius);
                let dz = (1.0 - dx * dx - dy * dy).max(0.0).sqrt();
                if dz > 0.0 {
                    let lit = self.lit(colour, [dx, dy, dz]);
                    self.put(y * self.width + x, z0 + radius * dz, lit);
                }
            }
        }
    }

    /// A stem or filament, bent from `a` to `c` by `b`.
    fn tube(&mut self, [a, b, c]: [V3; 3], radius: f32, colour: V3) {
        let length: f32 = length(sub(b, a)) + length(sub(c, b));
        let steps = (length / (radius * 0.25).max(0.7)) as usize + 1;
        for t in (0..=steps).map(|step| step as f32 / steps as f32) {
            self.ball(bent([a, b, c], t), radius, colour);
        }
    }

    /// A curved surface, given by its lattice of points and colours.
    fn surface(&mut self, lattice: &[Corner], columns: usize) {
        let rows = lattice.len() / columns;
        let corner = |i: usize| {
            // Base and tip have no width of their own: their slope is that of the next row.
            let row = (i / columns).clamp(1, rows - 3);
            let near = row * columns + (i % columns).min(columns - 2);
            let along = sub(lattice[near + columns].0, lattice[near].0);
            let normal = unit(cross(along, sub(lattice[near + 1].0, lattice[near].0)));
            let (at, colour) = lattice[i];
            (at, self.lit(colour, scale(normal, normal[2].signum())))
        };
        let lit: Vec<Corner> = (0..lattice.len()).map(corner).collect();
        for i in (columns..lit.len()).filter(|i| i % columns > 0) {
            self.triangle(lit[i - columns - 1], lit[i - columns], lit[i]);
            self.triangle(lit[i - columns - 1], lit[i - 1], lit[i]);
        }
    }

    fn petal(&mut self, frame: &Frame, whorl: &Whorl, azimuth: f32, layer: f32, tint: V3) {
        let rng = &mut self.rng;
        let size = whorl.shrink.powf(layer) * rng.around(1.0, 0.05);
        let lift = whorl.lift + whorl.close * layer + rng.around(0.0, 3.5);
        let (own_wave, seed) = (rng.within(0.0, TAU), rng.within(0.0, 50.0));
        let tint = scale(tint, rng.around(1.0, 0.06));
        let (length, width) = (whorl.length * size, whorl.width * size);
        let fineness = |side: f32| ((side * frame.size / 4.0) as usize).clamp(5, 30);
        let (rows, columns) = (fineness(length), fineness(width * 2.0));
        let (swell, taper) = whorl.shape;
        let widest = swell / (swell + taper);
        let fullest = widest.powf(swell) * (1.0 - widest).powf(taper);
        // A notched tip must not narrow to a point, which would fill the notch.
        let narrowing = if whorl.notch.0 > 0.0 { 0.97 } else { 1.0 };
        let joined = PI / whorl.count as f32 * 1.04;
        let (mut radius, mut height) = whorl.at;
        let mut before = 0.0;
        let mut lattice = Vec::with_capacity((rows + 1) * (columns + 1));
        for row in 0..=rows {
            let u = (row as f32 / rows as f32 * FRAC_PI_2).sin();
            let slope = (lift + whorl.curl * u + whorl.flare * u.powi(4)).to_radians();
            radius += length * (u - before) * slope.cos();
            height += length * (u - before) * slope.sin();
            before = u;
            let half = width * u.powf(swell) * (1.0 - u * narrowing).powf(taper) / fullest;
            for column in 0..=columns {
                let v = column as f32 / columns as f32 * 2.0 - 1.0;
                let notch = 0.5 + 0.5 * (PI * v * whorl.notch.1).cos();
                let back = whorl.notch.0 * length * notch * u.powi(5);
                // Joined petals share one wave. Free ones have their own, and a slight twist that
                // lays neighbours over one another instead of through.
                let (aside, bend, wave, twist) = if whorl.wrap {
                    let bend = (half * v / radius.max(0.02)).clamp(-joined, joined);
                    (0.0, bend, 10.0 * (azimuth + bend), 0.0)
                } else {
                    (half * v, 0.0, v * 5.0 + own_wave, 0.12 * v)
                };
                let ripple = whorl.ruffle * size * u * u * (wave.sin() + (u * 7.0 + seed).sin());
                let bulge = half * (whorl.cup * v * v + twist) + ripple;
                let out = radius - back * slope.cos() - bulge * slope.sin();
                let up = height - back * slope.sin() + bulge * slope.cos();
                let (sin, cos) = (azimuth + bend).sin_cos();
                let at = frame.point([out * cos - aside * sin, out * sin + aside * cos, up]);
                lattice.push((at, times(whorl.paint(u, v, seed), tint)));
            }
        }
        self.surface(&lattice, columns + 1);
    }

    fn flower(&mut self, species: &Species, frame: &Frame, tint: V3) {
        for whorl in species.whorls {
            for i in 0..whorl.layers * whorl.count {
                let (layer, place) = ((i / whorl.count) as f32, (i % whorl.count) as f32);
                let around = (whorl.arc * place + 180.0 * layer) / whorl.count as f32 + whorl.turn;
                let azimuth = around.to_radians() + self.rng.around(0.0, 0.05);
                self.petal(frame, whorl, azimuth, layer, tint);
            }
        }
        let centre = &species.centre;
        let [inner, outer] = centre.colours.map(light_of);
        for bead in 0..centre.beads {
            let t = ((bead as f32 + 0.5) / centre.beads as f32).sqrt();
            let (sin, cos) = (bead as f32 * GOLDEN).sin_cos();
            let across = centre.radius * t;
            let at = frame.point([across * cos, across * sin, centre.height * (1.0 - t * t)]);
            let size = centre.radius * 1.25 / (centre.beads as f32).sqrt() * frame.size;
            let shade = self.rng.around(1.0, 0.2);
            self.ball(at, size, scale(mix(inner, outer, t * t), shade));
        }
        let yellow = light_of(centre.anther);
        for stamen in 0..centre.stamens {
            let around = stamen as f32 / centre.stamens as f32 * TAU + self.rng.around(0.0, 0.3);
            let (sin, cos) = around.sin_cos();
            let out = centre.reach * self.rng.within(0.35, 0.6);
            let up = centre.reach * self.rng.within(0.75, 0.95);
            let along = |t: f32| frame.point([out * t * t * cos, out * t * t * sin, up * t]);
            let stalk = [0.0, 0.5, 1.0].map(along);
            let pale = mix(light_of(0xe4ecb0), yellow, 0.25);
            self.tube(stalk, 0.014 * frame.size, pale);
            let thick = 0.02 * frame.size * (1.0 + 5.0 / (4.0 + centre.stamens as f32));
            let side = scale(frame.direction([-sin, cos, 0.0]), thick * 1.2);
            let anther = [add(stalk[2], side), stalk[2], sub(stalk[2], side)];
            self.tube(anther, thick, yellow);
        }
    }

    /// One of the many flowers of a bloom, on its own stalk.
    fn floret(&mut self, species: &Species, [node, at]: [V3; 2], size: f32, tint: V3) {
        self.tube([node, node, at], 0.1 * size, light_of(GREEN));
        let tint = times(tint, self.rng.tint(0.1));
        let frame = Frame::new(at, unit(sub(at, node)), 0.0, size);
        self.flower(species, &frame, tint);
    }

    fn bloom(&mut self, species: &Species, frame: &Frame, tint: V3) {
        match species.habit {
            Habit::Solo => {
                let base = frame.point([0.0, 0.0, -0.1]);
                self.ball(base, 0.09 * frame.size, light_of(GREEN));
                self.flower(species, frame, tint);
            }
            Habit::Globe { florets, size, cover, core } => {
                let middle = frame.point([0.0, 0.0, -0.24]);
                self.ball(middle, 0.55 * frame.size * cover.min(1.0), light_of(core));
                for floret in 0..florets {
                    let up = 1.0 - (floret as f32 + 0.5) / florets as f32 * cover;
                    let out = (1.0 - up * up).sqrt() * self.rng.around(1.0, 0.06);
                    let (sin, cos) = (floret as f32 * GOLDEN).sin_cos();
                    let way = frame.direction([out * cos, out * sin, up]);
                    let at = add(middle, scale(way, 0.8 * frame.size));
                    self.floret(species, [middle, at], size * frame.size, tint);
                }
            }
            Habit::Spike { florets, size, height, rise } => {
                let [low, high] = [0.0, height].map(|up| frame.point([0.0, 0.0, up]));
                self.tube([low, low, high], 0.035 * frame.size, light_of(GREEN));
                for floret in 0..florets {
                    let t = floret as f32 / florets as f32;
                    let (sin, cos) = (floret as f32 * GOLDEN).sin_cos();
                    let up = rise.to_radians().sin() + 0.6 * t + 2.0 * t.powi(6);
                    let out = rise.to_radians().cos();
                    let way = unit(frame.direction([cos * out, sin * out, up]));
                    let node = mix(low, high, t);
                    let at = add(node, scale(way, size * 0.35 * frame.size));
                    let size = size * frame.size * (1.1 - 0.55 * t);
                    self.floret(species, [node, at], size, tint);
                }
            }
        }
    }

    fn leaf(&mut self, species: &Species, at: V3, size: f32, shade: f32) {
        let rng = &mut self.rng;
        let axis = unit([rng.around(0.0, 0.3), -0.8, rng.within(0.3, 0.8)]);
        let side = rng.pick(2) as f32 * PI + rng.around(0.0, 0.6);
        let tint = scale(rng.tint(0.12), shade);
        let frame = Frame::new(at, axis, 0.0, size);
        self.petal(&frame, species.leaf, side, 0.0, tint);
    }

    /// A bloom on its stem, with leaves. `at` is where the middle of the bloom is seen.
    fn plant(&mut self, species: &Species, at: V3, size: f32, tint: V3) {
        let rng = &mut self.rng;
        let (tilt, size) = (rng.within(species.tilt.0, species.tilt.1), size * species.size);
        let roll = rng.around(0.0, species.roll).to_radians();
        let (up, toward) = tilt.to_radians().sin_cos();
        let (aside, level) = roll.clamp(-0.4, 0.4).sin_cos();
        let axis = [up * aside, -up * level, toward];
        let mut frame = Frame::new(at, axis, roll, size);
        frame.origin = frame.point([0.0, 0.0, -species.middle]);
        let bow = rng.within(0.3, 0.8) * size * if rng.pick(2) == 0 { -1.0 } else { 1.0 };
        let neck = add(frame.point([0.0, 0.0, -1.1]), [bow, 0.0, -0.2 * size]);
        let [x, _, z] = frame.origin;
        let foot = [x + bow, self.height as f32 + size, z - 1.2 * size];
        let stem = [frame.point([0.0, 0.0, -0.05]), neck, foot];
        let green = times(light_of(GREEN), rng.tint(0.1));
        self.tube(stem, 0.05 * size, green);
        for _ in 0..2 + self.rng.pick(3) {
            let node = bent(stem, self.rng.within(0.5, 0.95));
            self.leaf(species, add(node, [0.0, 0.0, -0.6 * size]), size, 1.0);
        }
        self.bloom(species, &frame, tint);
    }
}

/// The point at `t` on the line that leaves `a` towards `b` and arrives at `c`.
fn bent([a, b, c]: [V3; 3], t: f32) -> V3 {
    mix(mix(a, b, t), mix(b, c, t), t)
}

/// The whole pixels in a range, as far as they are on the canvas.
fn pixels((low, high): (f32, f32), size: usize) -> std::ops::Range<usize> {
    (low.ceil().max(0.0) as usize)..((high.floor() + 1.0).clamp(0.0, size as f32) as usize)
}

impl Whorl {
    /// The colour of a petal at `u` from base to tip and `v` from edge to edge.
    fn paint(&self, u: f32, v: f32, seed: f32) -> V3 {
        let [base, tip] = self.colours.map(light_of);
        let plain = mix(base, tip, smooth(0.05, 0.85, u));
        let marked = match self.mark {
            Mark::None => plain,
            Mark::Blotch(hex, reach) => {
                let ragged = reach * (1.0 + 0.12 * (v * 14.0 + seed).sin() - 0.35 * v * v);
                mix(light_of(hex), plain, smooth(ragged * 0.8, ragged * 1.08, u))
            }
            Mark::Stripes(hex) => {
                let line = (v * 11.0 + 0.3 * (u * 5.0 + seed).sin()).cos();
                mix(plain, light_of(hex), smooth(0.1, 0.8, line) * (1.0 - smooth(0.75, 1.0, u)))
            }
            Mark::Spots(hex) => {
                let (row, column) = (u * 16.0, v * 4.0 + (u * 16.0).floor() * 0.5);
                let off = (row.fract() - 0.5).hypot(column.rem_euclid(1.0) - 0.5);
                let spot = (1.0 - smooth(0.16, 0.34, off)) * (1.0 - smooth(0.45, 0.65, u));
                let rim = smooth(0.55, 1.0, v.abs().max(u * 0.95));
                mix(mix(plain, [0.95; 3], rim), light_of(hex), spot)
            }
            Mark::Edge(hex) => mix(plain, light_of(hex), smooth(0.72, 0.98, u.max(v.abs() * u))),
        };
        let vein = self.vein * (0.5 + 0.5 * (v * 20.0 + 0.6 * (u * 6.0 + seed).sin()).cos());
        let hollow = 0.5 + 0.5 * smooth(0.0, 0.45, u);
        scale(marked, (1.0 - vein * (1.0 - 0.5 * u)) * hollow * (1.0 - 0.16 * v.powi(6)))
    }
}

/// Places for `count` blooms, each far from the others.
fn places(count: usize, [width, height]: [usize; 2], rng: &mut Rng) -> Vec<V3> {
    let mut chosen: Vec<V3> = Vec::new();
    for _ in 0..count {
        let apart = |p: V3| chosen.iter().map(move |q| length(sub(p, *q)));
        let room = |p: &V3| apart(*p).fold(1e9, f32::min);
        let tries = [0; 14].map(|_| {
            let (x, y) = (rng.within(0.1, 0.9), rng.within(0.15, 0.85));
            [x * width as f32, y * height as f32, 0.0]
        });
        chosen.extend(tries.into_iter().max_by(|a, b| room(a).total_cmp(&room(b))));
    }
    chosen
}

/// What lies out of focus: drawn at a quarter of the size, blurred, with discs of light.
fn background(species: &Species, size: [usize; 2], light: V3, tint: V3, mut rng: Rng) -> Vec<V3> {
    let [width, height] = size.map(|side| side / 4);
    let backdrop = BACKDROPS[rng.pick(BACKDROPS.len())];
    let [top, bottom, accent] = backdrop.map(|hex| times(light_of(hex), rng.tint(0.15)));
    let horizon = rng.within(0.3, 0.8);
    let mut canvas = Canvas::new([width, height], light, rng);
    for (i, pixel) in canvas.colour.iter_mut().enumerate() {
        let down = (i / width) as f32 / height as f32;
        *pixel = mix(top, bottom, smooth(horizon - 0.5, horizon + 0.4, down));
    }
    for _ in 0..canvas.rng.pick(30) + 8 {
        let rng = &mut canvas.rng;
        let at = [rng.next() * width as f32, rng.within(0.35, 1.2) * height as f32, -900.0];
        let (size, shade) = (rng.within(18.0, 36.0), rng.within(0.6, 1.5));
        canvas.leaf(species, at, size, shade);
    }
    let flowers = canvas.rng.pick(6);
    for at in places(flowers, [width, height], &mut canvas.rng) {
        let size = canvas.rng.within(7.0, 15.0);
        canvas.plant(species, at, size, scale(tint, 0.8));
    }
    let rng = &mut canvas.rng;
    let mut soft = blurred(&canvas.colour, width, rng.within(2.2, 5.0));
    for _ in 0..rng.pick(14) {
        let (x, y) = (rng.next() * width as f32, rng.next() * height as f32 * 0.7);
        let (radius, strength) = (rng.within(3.0, 9.0), rng.within(0.06, 0.3));
        for j in pixels((y - radius, y + radius), height) {
            for i in pixels((x - radius, x + radius), width) {
                let off = (i as f32 - x).hypot(j as f32 - y);
                let inside = 1.0 - smooth(radius - 1.6, radius, off);
                let pixel = &mut soft[j * width + i];
                *pixel = mix(*pixel, mix(accent, [1.0; 3], 0.3), inside * strength);
            }
        }
    }
    let small = DynamicImage::from(image_of(&soft, width));
    let large = small.resize_exact(size[0] as u32, size[1] as u32, FilterType::CatmullRom);
    large.into_rgb32f().pixels().map(|pixel| pixel.0).collect()
}

fn image_of(pixels: &[V3], width: usize) -> Rgb32FImage {
    let at = |x: u32, y: u32| image::Rgb(pixels[y as usize * width + x as usize]);
    Rgb32FImage::from_fn(width as u32, (pixels.len() / width) as u32, at)
}

fn blurred(pixels: &[V3], width: usize, sigma: f32) -> Vec<V3> {
    let soft = DynamicImage::from(image_of(pixels, width)).fast_blur(sigma);
    soft.into_rgb32f().pixels().map(|pixel| pixel.0).collect()
}

/// Draws picture `number` of a species; the same number always gives the same picture.
pub fn draw(species: &Species, number: usize) -> RgbImage {
    let mut rng = Rng::seeded(species.name, number);
    let size = if rng.next() < 0.6 { [480, 360] } else { [360, 480] };
    let light = unit([rng.around(-0.2, 0.7), -0.7, rng.within(0.5, 1.0)]);
    let tint = rng.tint(0.07);
    let behind = background(species, size, light, tint, Rng(rng.0.fork()));
    let (blooms, reach) = match number % 4 {
        0 => (5 + rng.pick(5), rng.within(90.0, 135.0)),
        1 => (1, rng.within(240.0, 300.0)),
        2 => (2 + rng.pick(2), rng.within(155.0, 200.0)),
        _ => (1, rng.within(300.0, 400.0)),
    };
    let size = size.map(|side| side * 2);
    let [width, height] = size.map(|side| side as f32);
    let mut spots = places(blooms, size, &mut rng);
    let mut canvas = Canvas::new(size, light, rng);
    if let [only] = &mut spots[..] {
        // A portrait: near the middle.
        *only = mix(*only, [0.5 * width, 0.48 * height, 0.0], 0.75);
    }
    for [x, y, _] in spots {
        let reach = reach * canvas.rng.around(1.0, 0.12);
        let tint = times(tint, canvas.rng.tint(0.04));
        canvas.plant(species, [x, y, y / height * reach * 2.0], reach, tint);
    }
    for _ in 0..canvas.rng.pick(14) {
        let (x, reach) = (canvas.rng.next() * width, canvas.rng.within(100.0, 160.0));
        canvas.leaf(species, [x, height + 0.2 * reach, -2.0 * reach], reach, 0.8);
    }
    photograph(canvas, behind, reach / 2.0)
}

/// Lays the sharp flowers over the background, with soft shadows, light, vignette and grain.
fn photograph(canvas: Canvas, behind: Vec<V3>, reach: f32) -> RgbImage {
    let (width, height, mut rng) = (canvas.width / 2, canvas.height / 2, canvas.rng);
    // Of each pixel: how near what covers it is (times the cover), and the cover.
    let mut cover = vec![[0.0_f32; 3]; width * height];
    let mut colour = behind;
    for (i, part) in cover.iter_mut().enumerate() {
        let corner = (i / width) * 2 * canvas.width + (i % width) * 2;
        let mut sum = [0.0; 3];
        for at in [0, 1, canvas.width, canvas.width + 1].map(|next| corner + next) {
            if canvas.depth[at] > f32::MIN {
                let near = (0.5 + canvas.depth[at] / 6000.0).clamp(0.0, 1.0);
                *part = add(*part, [near * 0.25, 0.25, 0.0]);
                sum = add(sum, scale(canvas.colour[at], 0.25));
            }
        }
        colour[i] = add(scale(colour[i], 1.0 - part[1]), sum);
    }
    if rng.next() < 0.3 {
        colour = blurred(&colour, width, rng.within(0.5, 0.9));
    }
    let around = blurred(&cover, width, reach * 0.06 + 1.0);
    let [right, down] = [0, 1].map(|i| (canvas.light[i] * reach * 0.05) as isize);
    let (warmth, exposure) = (rng.around(0.03, 0.1), rng.within(0.95, 1.35));
    let white = scale([1.0 + warmth, 1.0, 1.0 - warmth], exposure);
    let (vignette, side) = (rng.within(0.15, 0.8), rng.around(0.0, 0.3));
    let grain = rng.within(0.004, 0.018);
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let i = y as usize * width + x as usize;
        // Where the surroundings towards the light are nearer than the pixel, they shade it.
        let toward = i.saturating_add_signed(down * width as isize + right).min(around.len() - 1);
        let (mine, theirs) = (cover[i], around[toward]);
        let gap = theirs[0] / theirs[1].max(0.05) - mine[0] / mine[1].max(0.05);
        let shadow = (gap * 6600.0 / reach).clamp(-0.1, 0.6) * mine[1] * theirs[1].min(1.0);
        let (dx, dy) = (x as f32 / width as f32 - 0.5, y as f32 / height as f32 - 0.5);
        let fall = (1.0 - shadow) * (1.0 - vignette * (dx * dx + dy * dy)) * (1.0 + side * dx);
        let noise = (rng.next() + rng.next() - 1.0) * grain;
        image::Rgb(times(scale(colour[i], fall), white).map(|c| {
            // A shoulder keeps highlights from clipping.
            let c = if c > 0.7 { 1.0 - 0.3 * ((0.7 - c) / 0.3).exp() } else { c.max(0.0) };
            ((c.sqrt() + noise) * 255.0) as u8
        }))
    })
}
