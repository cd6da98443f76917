# SPDX-License-Identifier: Apache-2.0
"""The networks of the test graphs as torch has them, for a peer that runs what a torch user would run: the models of torchvision,
timm and transformers (with their fused attention), and the four that are nobody's, written as their exports show.

    model, feeds = make("resnet50.ts", {"input": (1, 3, 224, 224)})      # on the CPU, fp32, eval; feeds: numpy's values -> arguments
"""
import torch
from torch import nn


class Output(nn.Module):
    """A transformers model that takes and gives plain tensors."""

    def __init__(self, model, names, field=0):
        super().__init__()
        self.model, self.names, self.field = model, names, field

    def forward(self, *args):
        out = self.model(**dict(zip(self.names, args)), return_dict=False)
        return out[self.field] if isinstance(out, (tuple, list)) else out


class Dlrm(nn.Module):
    def __init__(self):
        super().__init__()
        self.e = nn.ModuleList(nn.Embedding(1000, 64) for _ in range(26))
        self.bottom = nn.Sequential(nn.Linear(13, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 64), nn.ReLU())
        self.top = nn.Sequential(nn.Linear(64 + 351, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 1))
        rows, columns = torch.tril_indices(27, 27, -1)
        self.register_buffer("rows", rows)
        self.register_buffer("columns", columns)

    def forward(self, dense, idx):
        x = self.bottom(dense)
        z = torch.stack([x] + [e(idx[:, i]) for i, e in enumerate(self.e)], 1)
        pairs = torch.bmm(z, z.transpose(1, 2))[:, self.rows, self.columns]
        return self.top(torch.cat([x, pairs], 1)).sigmoid()


class UNet(nn.Module):
    def __init__(self, sizes=(32, 64, 128, 256, 512)):
        super().__init__()

        def block(i, o):
            return nn.Sequential(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True),
                                 nn.Conv2d(o, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True))
        self.down = nn.ModuleList(block(i, o) for i, o in zip((3,) + sizes[:-1], sizes))
        self.u = nn.ModuleList(nn.ConvTranspose2d(i, o, 2, 2) for i, o in zip(sizes[:0:-1], sizes[-2::-1]))
        self.up = nn.ModuleList(block(2 * o, o) for o in sizes[-2::-1])
        self.o = nn.Conv2d(sizes[0], 2, 1)

    def forward(self, x):
        kept = []
        for i, block in enumerate(self.down):
            x = block(x if i == 0 else nn.functional.max_pool2d(x, 2))
            kept.append(x)
        for u, block, skip in zip(self.u, self.up, kept[-2::-1]):
            x = block(torch.cat([skip, u(x)], 1))
        return self.o(x)


class Recurrent(nn.Module):
    def __init__(self, kind, inputs, hidden, layers, outputs, both, last):
        super().__init__()
        self.r = kind(inputs, hidden, layers, batch_first=True, bidirectional=both)
        self.o, self.last = nn.Linear(hidden * (1 + both), outputs), last

    def forward(self, x):
        y = self.r(x)[0]
        return self.o(y[:, -1] if self.last else y)


def decode_step():
    from transformers import DynamicCache, GPT2Config, GPT2LMHeadModel

    class Step(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = GPT2LMHeadModel(GPT2Config())

        def forward(self, input_ids, kv):
            past = DynamicCache()
            for layer in range(12):
                past.update(kv[layer, 0], kv[layer, 1], layer)
            return self.model(input_ids, past_key_values=past, use_cache=True, return_dict=False)[0]
    return Step()


def hugging(kind, config, names, field=0, **changes):
    import transformers
    settings = getattr(transformers, config)(**changes)
    return Output(getattr(transformers, kind)(settings), names, field)


def network(name):
    import torchvision.models as tv
    if name in ("convnext_tiny", "densenet121", "efficientnet_b0", "mobilenet_v2", "mobilenet_v3_large", "resnet18", "resnet50",
                "shufflenet_v2_x1_0", "squeezenet1_1", "swin_t", "vit_b_16"):
        return getattr(tv, name)(weights=None)
    if name == "inception_v3":
        return tv.inception_v3(weights=None, init_weights=False)
    if name == "resnet3d_18":
        return tv.video.r3d_18(weights=None)
    if name == "deeplabv3_resnet50":
        class Segment(nn.Module):
            def __init__(self):
                super().__init__()
                self.m = tv.segmentation.deeplabv3_resnet50(weights=None, weights_backbone=None)

            def forward(self, x):
                return self.m(x)["out"]
        return Segment()
    if name == "ssdlite320":
        class Detect(nn.Module):
            def __init__(self):
                super().__init__()
                self.m = tv.detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)

            def forward(self, x):
                return self.m(list(x))[0]["scores"]
        return Detect()
    if name in ("deit_small", "hrnet_w18", "mobilevit_s"):
        import timm
        return timm.create_model("deit_small_patch16_224" if name == "deit_small" else name, pretrained=False)
    text = ("input_ids", "attention_mask")
    if name == "bert_base":
        return hugging("BertModel", "BertConfig", text)
    if name == "distilbert":
        return hugging("DistilBertModel", "DistilBertConfig", text)
    if name == "clip_text":
        return hugging("CLIPTextModel", "CLIPTextConfig", text)
    if name == "t5_encoder":
        return hugging("T5EncoderModel", "T5Config", text)
    if name == "gpt2":
        return hugging("GPT2LMHeadModel", "GPT2Config", ("input_ids",), use_cache=False)
    if name == "gpt2_decode":
        return decode_step()
    if name == "llama_small":
        return hugging("LlamaForCausalLM", "LlamaConfig", ("input_ids",), hidden_size=768, intermediate_size=2048, num_hidden_layers=8,
                       num_attention_heads=12, num_key_value_heads=4, vocab_size=32000, use_cache=False)
    if name == "segformer_b0":
        return hugging("SegformerForSemanticSegmentation", "SegformerConfig", ("pixel_values",))
    if name == "wav2vec2":
        return hugging("Wav2Vec2Model", "Wav2Vec2Config", ("input_values",))
    if name == "whisper_encoder":
        from transformers import WhisperConfig
        from transformers.models.whisper.modeling_whisper import WhisperEncoder
        config = WhisperConfig(d_model=384, encoder_layers=4, encoder_attention_heads=6, encoder_ffn_dim=1536)
        return Output(WhisperEncoder(config), ("input_features",))
    if name == "dlrm":
        return Dlrm()
    if name == "unet":
        return UNet()
    if name == "lstm_bi":
        return Recurrent(nn.LSTM, 80, 256, 3, 64, True, False)
    if name == "gru_speech":
        return Recurrent(nn.GRU, 40, 128, 2, 12, False, True)
    raise KeyError(f"no torch model of '{name}'")


def make(name):
    torch.manual_seed(0)
    return network(name.split(".")[0]).eval()


# What torch cannot record: boxes that are sorted and chosen by value, and lists of images.
EAGER_ONLY = {"ssdlite320"}
