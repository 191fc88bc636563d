"""The functions of scikit-image that convert float16 to float32 before they compute.

Images of float16 are converted before these functions, which makes no difference to their results;
`tests/exactness/test_half.py` compares both. Other functions refuse float16, because SciPy does, or because they would
compute in half precision.
"""

from __future__ import annotations

_PROMOTING = {
    "color": (
        "combine_stains convert_colorspace deltaE_cie76 deltaE_ciede2000 deltaE_ciede94 deltaE_cmc hed2rgb hsv2rgb "
        "lab2lch lab2rgb lab2xyz label2rgb lch2lab luv2rgb luv2xyz rgb2gray rgb2hed rgb2hsv rgb2lab rgb2luv "
        "rgb2rgbcie rgb2xyz rgb2ycbcr rgb2ydbdr rgb2yiq rgb2ypbpr rgb2yuv rgba2rgb rgbcie2rgb separate_stains xyz2lab "
        "xyz2luv xyz2rgb ydbdr2rgb yiq2rgb ypbpr2rgb yuv2rgb "
    ),
    "exposure": ("is_low_contrast match_histograms "),
    "feature": (
        "blob_dog blob_doh blob_log canny corner_fast corner_foerstner corner_harris corner_kitchen_rosenfeld "
        "corner_moravec corner_shi_tomasi hessian_matrix hessian_matrix_det hog "
        "local_binary_pattern multiscale_basic_features shape_index structure_tensor "
    ),
    "filters": (
        "apply_hysteresis_threshold butterworth correlate_sparse difference_of_gaussians farid farid_h farid_v frangi "
        "gabor gaussian hessian laplace meijering prewitt prewitt_h prewitt_v roberts roberts_neg_diag "
        "roberts_pos_diag sato scharr scharr_h scharr_v sobel sobel_h sobel_v threshold_local threshold_niblack "
        "threshold_sauvola unsharp_mask "
    ),
    "measure": (
        "centroid euler_number moments moments_central perimeter perimeter_crofton regionprops_table shannon_entropy "
    ),
    "metrics": ("hausdorff_distance mean_squared_error normalized_root_mse peak_signal_noise_ratio "),
    "morphology": (
        "isotropic_closing isotropic_dilation isotropic_erosion isotropic_opening medial_axis reconstruction "
        "skeletonize thin "
    ),
    "restoration": ("denoise_nl_means denoise_tv_chambolle inpaint_biharmonic richardson_lucy unwrap_phase wiener "),
    "segmentation": (
        "chan_vese felzenszwalb mark_boundaries morphological_chan_vese morphological_geodesic_active_contour "
        "quickshift slic watershed "
    ),
    "transform": (
        "integral_image pyramid_expand pyramid_gaussian pyramid_laplacian pyramid_reduce rescale resize "
        "resize_local_mean rotate swirl warp warp_polar "
    ),
    "util": ("img_as_bool img_as_float32 img_as_float64 "),
}

PROMOTING = frozenset(f"{family}.{name}" for family, names in _PROMOTING.items() for name in names.split())
"""Their full names."""
