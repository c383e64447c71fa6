// usage: exp key=value ...
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use florascope::{catalog::Catalog, evaluate::Evaluation, library::DataFolder, train::dataset::Dataset};
use std::collections::HashMap;
use std::time::Instant;
use tch::{Kind, Tensor};
fn norm(x: &Tensor) -> Tensor {
    x / x.norm_scalaropt_dim(2.0, [-1i64].as_slice(), true).clamp_min(1e-12)
}
fn load(p: &str) -> (Tensor, Vec<String>) {
    let lib = DataFolder::open(Some("/tmp/d1".into())).unwrap().library(p.as_ref()).unwrap();
    let c = Catalog::open_read_only(&lib.folder).unwrap().unwrap();
    let d = Dataset::load(&c, "efficientnet-lite0-imagenet-1").unwrap();
    let l = d.photos.iter().map(|p| p.label().unwrap().to_string_lossy().into_owned()).collect();
    (d.features, l)
}
fn eval(q: &Tensor, ql: &[i64], g: &Tensor, gl: &[i64], loo: bool) -> (f64, f64, u64) {
    let s = q.matmul(&g.tr());
    let mut cnt: HashMap<i64, usize> = HashMap::new();
    for l in gl {
        *cnt.entry(*l).or_default() += 1
    }
    let k = (*cnt.values().max().unwrap() + 2).min(gl.len());
    let mut e = Evaluation::default();
    let (_, ix) = s.topk(k as i64, 1, true, true);
    for (i, l) in ql.iter().enumerate() {
        let row = Vec::<i64>::try_from(ix.get(i as i64)).unwrap();
        let others: Vec<bool> = row.iter().filter(|o| !loo || **o != i as i64).map(|o| gl[*o as usize] == *l).collect();
        e.add(others, cnt.get(l).copied().unwrap_or(0) - usize::from(loo));
    }
    let qn = e.quality().queries as f64;
    let r = e.quality().recall_at_1;
    (r * 100.0, e.quality().map_at_r * 100.0, ((1.0 - r) * qn).round() as u64)
}
fn ids(labels: &[String]) -> Vec<i64> {
    let mut u = labels.to_vec();
    u.sort();
    u.dedup();
    labels.iter().map(|l| u.binary_search(l).unwrap() as i64).collect()
}
// returns list of (map fn) parts
struct Part {
    c: Tensor,
    m: Tensor,
    w: f64,
}
fn apply(parts: &[Part], x: &Tensor) -> Tensor {
    norm(&Tensor::cat(&parts.iter().map(|p| norm(&(x - &p.c).matmul(&p.m.tr())) * p.w).collect::<Vec<_>>(), 1))
}
fn white(x: &Tensor, y: &Tensor, classes: i64, shrink: f64, power: f64) -> (Tensor, Tensor) {
    let d = x.size()[1];
    let sums = Tensor::zeros([classes, d], (Kind::Float, x.device())).index_add(0, y, x);
    let counts =
        Tensor::zeros([classes], (Kind::Float, x.device())).index_add(0, y, &y.ones_like().to_kind(Kind::Float));
    let means = sums / counts.clamp_min(1.0).unsqueeze(1);
    let r = x - means.index_select(0, y);
    let w = r.tr().matmul(&r) / x.size()[0] as f64;
    let mean = w.diagonal(0, 0, 1).mean(Kind::Float);
    let s = w * (1.0 - shrink) + Tensor::eye(d, (Kind::Float, x.device())) * mean * shrink;
    let (v, u) = s.linalg_eigh("L");
    (
        (&u * v.clamp_min(1e-12).pow_tensor_scalar(-power)).matmul(&u.tr()),
        x.mean_dim([0i64].as_slice(), false, Kind::Float),
    )
}
fn main() {
    let a: HashMap<String, String> = std::env::args()
        .skip(1)
        .map(|s| {
            let (k, v) = s.split_once('=').unwrap();
            (k.to_owned(), v.to_owned())
        })
        .collect();
    let f = |k: &str, d: f64| a.get(k).map_or(d, |v| v.parse().unwrap());
    let (tr, trl) = load("/work/shared/data/oxford102/train");
    let (va, val) = load("/work/shared/data/oxford102/valid");
    let (ty, vy) = (ids(&trl), ids(&val));
    // unseen: first 51 by name; both splits together
    let all = Tensor::cat(&[&tr, &va], 0);
    let ally: Vec<i64> = ty.iter().chain(&vy).copied().collect();
    let pick = |cond: &dyn Fn(i64) -> bool| -> (Tensor, Vec<i64>) {
        let p: Vec<i64> = (0..ally.len() as i64).filter(|i| cond(ally[*i as usize])).collect();
        (all.index_select(0, &Tensor::from_slice(&p)), p.iter().map(|i| ally[*i as usize]).collect())
    };
    let (fx, fy) = pick(&|l| l < 51);
    let (ux, uy) = pick(&|l| l >= 51);
    let mut s_all = vec![];
    for seed in 0..f("seeds", 1.0) as i64 {
        let t = Instant::now();
        let p1 = fit(&tr, &ty, &f, seed);
        let secs = t.elapsed().as_secs_f64();
        let p2 = fit(&fx, &fy, &f, seed);
        for w in a.get("ws").map_or(vec![f("wh", 0.5)], |s| s.split(',').map(|x| x.parse().unwrap()).collect()) {
            let set = |mut p: Vec<Part>| {
                if p.len() > 1 {
                    p[0].w = w;
                    p[1].w = (1.0 - w * w).sqrt();
                }
                p
            };
            let _ = &set;
            let q = |p: &[Part], x: &Tensor| {
                let ps: Vec<Part> = p
                    .iter()
                    .enumerate()
                    .map(|(i, p)| Part {
                        c: p.c.shallow_clone(),
                        m: p.m.shallow_clone(),
                        w: if i == 0 { w } else { (1.0 - w * w).sqrt() },
                    })
                    .collect();
                apply(&ps, x)
            };
            let s = eval(&q(&p1, &va), &vy, &q(&p1, &tr), &ty, false);
            let e = q(&p2, &ux);
            let u = eval(&e, &uy, &e, &uy, true);
            println!(
                "seed {seed} w {w}: seen {:.1} / {:.1} ({} err)  unseen {:.1} / {:.1} ({} err)  {secs:.1} s",
                s.0, s.1, s.2, u.0, u.1, u.2
            );
            s_all.push((s, u));
        }
    }
    let _ = uy.len();
}
fn fit(x: &Tensor, y: &[i64], f: &dyn Fn(&str, f64) -> f64, seed: i64) -> Vec<Part> {
    tch::manual_seed(seed);
    let y = Tensor::from_slice(y);
    let (y, _, _) = y.unique_consecutive_remap();
    let classes = i64::try_from(y.max()).unwrap() + 1;
    let (wm, wc) = white(x, &y, classes, f("shrink", 0.6), 0.5);
    let mut parts = vec![];
    let dim = f("dim", 128.0) as i64;
    if dim > 0 {
        let (n, d) = (x.size()[0], x.size()[1]);
        let c = x.mean_dim([0i64].as_slice(), false, Kind::Float);
        let hs = f("hshrink", 1.0); // 1 = plain features
        let (hm, _) = white(x, &y, classes, hs, f("hpow", 0.5));
        let z = (x - &c).matmul(&hm.tr());
        let z = if f("zn", 0.0) > 0.0 {
            norm(&z)
        } else {
            &z / z.norm_scalaropt_dim(2.0, [-1i64].as_slice(), true).mean(Kind::Float)
        };
        let mut m = (Tensor::randn([dim, d], (Kind::Float, x.device())) / (d as f64).sqrt()).set_requires_grad(true);
        let mut w = Tensor::randn([classes, dim], (Kind::Float, x.device())).set_requires_grad(true);
        let (epochs, batch) = (f("epochs", 20.0) as i64, f("batch", 256.0) as i64);
        let steps = (n + batch - 1) / batch * epochs;
        let mut st: Vec<(Tensor, Tensor)> = [&m, &w].iter().map(|p| (p.zeros_like(), p.zeros_like())).collect();
        let mut step = 0;
        for _ in 0..epochs {
            let order = Tensor::randperm(n, (Kind::Int64, x.device()));
            let mut at = 0;
            while at < n {
                let len = batch.min(n - at);
                let ix = order.narrow(0, at, len);
                at += len;
                step += 1;
                let mut zb = z.index_select(0, &ix);
                let noise = f("noise", 0.0);
                if noise > 0.0 {
                    zb = &zb + zb.randn_like() * (noise / (d as f64).sqrt());
                }
                let e = norm(&zb.dropout(f("drop", 0.2), true).matmul(&m.tr()));
                let logits = e.matmul(&norm(&w).tr()) * f("scale", 16.0);
                let loss = logits.cross_entropy_loss::<Tensor>(
                    &y.index_select(0, &ix),
                    None,
                    tch::Reduction::Mean,
                    -100,
                    f("ls", 0.1),
                );
                loss.backward();
                let lr = 0.5
                    * (1.0 + (std::f64::consts::PI * step as f64 / steps as f64).cos())
                    * (step as f64 / f("warm", 1.0)).min(1.0);
                tch::no_grad(|| {
                    for (i, (p, base)) in [(&mut m, f("lr", 2e-3)), (&mut w, f("lrc", 1e-2))].into_iter().enumerate() {
                        let g = p.grad();
                        let (a, b) = &mut st[i];
                        *a = &*a * 0.9 + &g * 0.1;
                        *b = &*b * 0.999 + &g * &g * 0.001;
                        let mh = &*a / (1.0 - 0.9f64.powi(step as i32));
                        let vh = &*b / (1.0 - 0.999f64.powi(step as i32));
                        if i == 0 {
                            let _ = p.g_mul_scalar_(1.0 - base * lr * f("wd", 0.0));
                        }
                        let _ = p.g_sub_(&(mh / (vh.sqrt() + 1e-8) * (base * lr)));
                        p.zero_grad();
                    }
                });
            }
        }
        parts.push(Part { c, m: m.detach().matmul(&hm), w: 0.5 });
    }
    parts.push(Part { c: wc, m: wm, w: 0.87 });
    parts
}
trait Remap {
    fn unique_consecutive_remap(&self) -> (Tensor, (), ());
}
impl Remap for Tensor {
    fn unique_consecutive_remap(&self) -> (Tensor, (), ()) {
        let (_, inv, _) = self.unique_dim(0, true, true, false);
        (inv, (), ())
    }
}
