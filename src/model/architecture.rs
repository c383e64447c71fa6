//! The networks that the program knows, and what is asked of each by name.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind};

use super::{Scale, dinov2, efficientnet, resnet};

/// The networks that the program knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Architecture {
    #[serde(rename = "efficientnet-lite0")]
    EfficientNetLite0,
    /// The same weights, but features of several levels.
    #[serde(rename = "efficientnet-lite0-multilevel")]
    EfficientNetLite0Multilevel,
    #[serde(rename = "efficientnet-lite1")]
    EfficientNetLite1,
    #[serde(rename = "efficientnet-lite2")]
    EfficientNetLite2,
    #[serde(rename = "resnet18")]
    ResNet18,
    #[serde(rename = "resnet34")]
    ResNet34,
    #[serde(rename = "resnet50")]
    ResNet50,
    #[serde(rename = "dinov2-small")]
    DinoV2Small,
    #[serde(rename = "dinov2-small-registers")]
    DinoV2SmallRegisters,
    #[serde(rename = "dinov2-base")]
    DinoV2Base,
    #[serde(rename = "dinov2-base-registers")]
    DinoV2BaseRegisters,
    /// The siamese tutorial's: a ResNet18 whose 1,000 outputs are the features.
    #[serde(rename = "siamese-resnet18")]
    SiameseResNet18,
}

impl Architecture {
    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::EfficientNetLite0 => "EfficientNet-Lite0",
            Self::EfficientNetLite0Multilevel => "EfficientNet-Lite0, several levels",
            Self::EfficientNetLite1 => "EfficientNet-Lite1",
            Self::EfficientNetLite2 => "EfficientNet-Lite2",
            Self::ResNet18 => "ResNet18",
            Self::ResNet34 => "ResNet34",
            Self::ResNet50 => "ResNet50",
            Self::DinoV2Small => "DINOv2 ViT-S/14",
            Self::DinoV2SmallRegisters => "DINOv2 ViT-S/14 with registers",
            Self::DinoV2Base => "DINOv2 ViT-B/14",
            Self::DinoV2BaseRegisters => "DINOv2 ViT-B/14 with registers",
            Self::SiameseResNet18 => "Siamese ResNet18",
        }
    }

    /// For files and ids: the same as in a card.
    pub fn id(self) -> &'static str {
        match self {
            Self::EfficientNetLite0 => "efficientnet-lite0",
            Self::EfficientNetLite0Multilevel => "efficientnet-lite0-multilevel",
            Self::EfficientNetLite1 => "efficientnet-lite1",
            Self::EfficientNetLite2 => "efficientnet-lite2",
            Self::ResNet18 => "resnet18",
            Self::ResNet34 => "resnet34",
            Self::ResNet50 => "resnet50",
            Self::DinoV2Small => "dinov2-small",
            Self::DinoV2SmallRegisters => "dinov2-small-registers",
            Self::DinoV2Base => "dinov2-base",
            Self::DinoV2BaseRegisters => "dinov2-base-registers",
            Self::SiameseResNet18 => "siamese-resnet18",
        }
    }

    /// Floats in a feature vector.
    pub fn dimension(self) -> usize {
        match self.family() {
            Family::EfficientNet(scale) => scale.dimension(),
            Family::ResNet(layout) => layout.dimension(),
            Family::DinoV2(layout) => layout.dimension(),
        }
    }

    /// The largest [`Architecture::input_side`].
    pub(crate) const LARGEST_INPUT_SIDE: u32 = 260;

    /// Width and height of the pictures that the network takes, in pixels: what it was published for, but for DINOv2, which
    /// at its 518 px is five times as slow.
    pub fn input_side(self) -> u32 {
        match self {
            Self::EfficientNetLite1 => 240,
            Self::EfficientNetLite2 => 260,
            _ => 224,
        }
    }

    /// Bytes of a [`super::NetworkInput`].
    pub(crate) fn input_bytes(self) -> usize {
        (self.input_side() * self.input_side() * 3) as usize
    }

    /// Whether pictures go through it as rows of patches, all of one size.
    pub(crate) fn is_transformer(self) -> bool {
        matches!(self.family(), Family::DinoV2(_))
    }

    /// Whether the network takes a weight of this name; a classifier's, say, it does not.
    pub(crate) fn needs(self, weight: &str) -> bool {
        let beginnings: &[&str] = match self.family() {
            Family::EfficientNet(_) => &["_conv_stem.", "_bn0.", "_blocks.", "_conv_head.", "_bn1."],
            Family::ResNet(layout) if layout.classifier => &["conv1.", "bn1.", "layer", "fc."],
            Family::ResNet(_) => &["conv1.", "bn1.", "layer"],
            Family::DinoV2(layout) if layout.registers > 0 => {
                &["cls_token", "pos_embed", "register_tokens", "patch_embed.", "blocks.", "norm."]
            }
            Family::DinoV2(_) => &["cls_token", "pos_embed", "patch_embed.", "blocks.", "norm."],
        };
        beginnings.iter().any(|beginning| weight.starts_with(beginning))
    }

    /// Mean and deviation of red, green and blue in the pictures that the network learnt from, 0 to 1.
    pub(super) fn channels(self) -> [[f32; 3]; 2] {
        match self.family() {
            Family::EfficientNet(_) => [[0.498; 3], [0.502; 3]],
            // The siamese tutorial's: CIFAR-10's.
            Family::ResNet(layout) if layout.classifier => [[0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]],
            Family::ResNet(_) | Family::DinoV2(_) => [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]],
        }
    }

    /// Numbers to compute features in. The tutorial's distances are told exactly, for they are compared with those that
    /// it prints, and transformers have no need.
    pub(super) fn inference_dtype(self, device: Device) -> Kind {
        if self.is_exact() { Kind::Float } else { efficientnet::inference_dtype(device) }
    }

    /// Numbers to learn in: half the bits on a GPU and where the processor has them, the weights themselves aside. The
    /// tutorial is repeated as it was.
    pub(crate) fn training_dtype(self, device: Device) -> Kind {
        if device.is_cuda() && !self.is_exact() { Kind::BFloat16 } else { self.inference_dtype(device) }
    }

    fn is_exact(self) -> bool {
        self == Self::SiameseResNet18 || self.is_transformer()
    }

    pub(super) fn family(self) -> Family {
        let resnet = |blocks, bottleneck, classifier| Family::ResNet(resnet::Layout { blocks, bottleneck, classifier });
        let dino = |width, registers| Family::DinoV2(dinov2::Layout { width, registers });
        match self {
            Self::EfficientNetLite0 => Family::EfficientNet(Scale::LITE0),
            Self::EfficientNetLite0Multilevel => Family::EfficientNet(Scale::LITE0_MULTILEVEL),
            Self::EfficientNetLite1 => Family::EfficientNet(Scale::LITE1),
            Self::EfficientNetLite2 => Family::EfficientNet(Scale::LITE2),
            Self::ResNet18 => resnet([2, 2, 2, 2], false, false),
            Self::ResNet34 => resnet([3, 4, 6, 3], false, false),
            Self::ResNet50 => resnet([3, 4, 6, 3], true, false),
            Self::DinoV2Small => dino(384, 0),
            Self::DinoV2SmallRegisters => dino(384, 4),
            Self::DinoV2Base => dino(768, 0),
            Self::DinoV2BaseRegisters => dino(768, 4),
            Self::SiameseResNet18 => resnet([2, 2, 2, 2], false, true),
        }
    }
}

/// An architecture as its family builds it.
pub(super) enum Family {
    EfficientNet(Scale),
    ResNet(resnet::Layout),
    DinoV2(dinov2::Layout),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_architecture_has_one_name_in_cards_and_ids_and_an_input_that_is_not_too_large() {
        const ALL: [Architecture; 12] = [
            Architecture::EfficientNetLite0Multilevel,
            Architecture::EfficientNetLite0,
            Architecture::EfficientNetLite1,
            Architecture::EfficientNetLite2,
            Architecture::ResNet18,
            Architecture::ResNet34,
            Architecture::ResNet50,
            Architecture::DinoV2Small,
            Architecture::DinoV2SmallRegisters,
            Architecture::DinoV2Base,
            Architecture::DinoV2BaseRegisters,
            Architecture::SiameseResNet18,
        ];
        for architecture in ALL {
            assert_eq!(serde_json::to_value(architecture).unwrap(), architecture.id());
            assert!(architecture.input_side() <= Architecture::LARGEST_INPUT_SIDE);
        }
    }
}
