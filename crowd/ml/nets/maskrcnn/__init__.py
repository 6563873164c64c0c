"""Mask R-CNN on torch alone: which pixels belong to which garment."""

from crowd.ml.nets.maskrcnn.boxes import box_iou, grouped_nms, nms
from crowd.ml.nets.maskrcnn.model import MaskRCNN
from crowd.ml.nets.maskrcnn.roi_align import roi_align

__all__ = ["MaskRCNN", "box_iou", "grouped_nms", "nms", "roi_align"]
