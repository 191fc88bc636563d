"""The functions that cannot be split exactly: why, and what to use instead.

The error reads "filters.wiener is refused: it divides spectra of the whole image; use restoration.wiener, or …".
"""

from __future__ import annotations

from lepton_celery.catalogue.entries import Refused

_FIGURE = "it draws a figure"
_FUNCTION = "it takes a function, which cannot be sent to workers"
_LINES = "each pixel of its result is a sum along a line through the whole image"
_OBJECTS = "its result is a list with a member for each object of the whole image"
_SPECTRUM = "it multiplies the spectrum of the whole image"
_VOTES = "each pixel votes in the whole parameter space, and lines or circles are found from the votes of all pixels"
_WAVELETS = "it needs PyWavelets, which is not installed with this package, and the wavelet coefficients of all pixels"
_WINDOWS = "its result has more axes than the image and repeats pixels"

_CROP = "the function of scikit-image itself, on a crop: image[a:b, c:d]"
_ITSELF = "the function of scikit-image itself"
_OWN = "lepton.map_blocks with your function's import path and its halo"
_TABLE = "measure.regionprops_table"
_WHOLE = "scikit-image on the whole image"

_REFUSED: tuple[tuple[str, str, str], ...] = (
    # draw
    ("draw.set_color", "it changes an array in place, and a lazy image has none", "numpy.where(mask, colour, image)"),
    # feature
    (
        "feature.corner_orientations feature.corner_subpix",
        "its result has an entry for each given point, not for each pixel",
        "feature.corner_peaks for the points, then scikit-image on a crop around each",
    ),
    ("feature.draw_haar_like_feature", "it draws the features of one window into a picture", _CROP),
    ("feature.draw_multiblock_lbp", "it draws one pattern into a picture", _CROP),
    ("feature.haar_like_feature", "its result is a list of numbers for one window", _CROP),
    ("feature.multiblock_lbp", "its result is one code for one position of an integral image", _CROP),
    ("feature.plot_matched_features", _FIGURE, _ITSELF),
    # filters
    ("filters.filter_forward", _SPECTRUM, "ndimage.correlate with the impulse response"),
    ("filters.filter_inverse", "it divides by the spectrum of the whole image", "restoration.richardson_lucy"),
    ("filters.wiener", "it divides spectra of the whole image", "restoration.wiener, or compute it on the whole image"),
    (
        "filters.rank_order",
        "its result is the rank of each pixel among all values of the image",
        "numpy.digitize with the levels you need",
    ),
    ("filters.try_all_threshold", _FIGURE, "the threshold you want, such as filters.threshold_otsu"),
    # future
    (
        "future.manual_lasso_segmentation future.manual_polygon_segmentation",
        "it waits for a person who draws on a figure",
        "scikit-image on a small copy of the image, such as transform.rescale(image, 1 / 16)",
    ),
    (
        "future.fit_segmenter future.predict_segmenter",
        "it takes a classifier, which cannot be sent to workers",
        "scikit-image to train on a crop, and lepton.map_blocks with a function that loads the classifier and predicts",
    ),
    # graph
    (
        "graph.cut_normalized graph.cut_threshold graph.merge_hierarchical graph.rag_boundary graph.rag_mean_color",
        "its graph of neighbouring regions is one object, which blocks cannot build independently",
        "scikit-image on computed images: skimage.graph.rag_mean_color(*lepton.compute(image, labels))",
    ),
    (
        "graph.pixel_graph graph.route_through_array graph.shortest_path",
        "a path or a graph of pixels runs through the whole image",
        "scikit-image on a computed image, or on a crop: image[a:b, c:d]",
    ),
    ("graph.show_rag", _FIGURE, _ITSELF),
    # io
    (
        "io.imread io.imread_collection",
        "it reads whole images into this process",
        "lepton.open with a path, which reads the blocks that are needed",
    ),
    (
        "io.imsave io.push io.pop io.concatenate_images",
        "it holds whole images in this process",
        "lepton.submit or lepton.run with the output's path, such as {'cells.tif': image}, or numpy.stack",
    ),
    # measure
    ("measure.marching_cubes", "its result is one mesh of points and faces", _CROP),
    (
        "measure.inertia_tensor measure.inertia_tensor_eigvals",
        "BLAS chooses the order of its sums, and cancellation magnifies their rounding",
        "measure.moments_central",
    ),
    (
        "measure.regionprops",
        "its result is a list of objects that refer to the whole image",
        "measure.regionprops_table, which has all their properties as columns",
    ),
    # metrics
    (
        "metrics.contingency_table",
        "its result is a sparse matrix, not an image or an array",
        "metrics.adapted_rand_error or metrics.variation_of_information, which follow from it",
    ),
    (
        "metrics.hausdorff_pair",
        "of several pairs at the same distance, it returns the one that its search tree visits first",
        "metrics.hausdorff_distance for the distance",
    ),
    # morphology
    (
        "morphology.convex_hull_object",
        "the hull of an object can lie over blocks that the object itself does not touch",
        "measure.regionprops_table with area_convex or solidity, or compute it on the whole image",
    ),
    (
        "morphology.max_tree",
        "its result is a tree of pixel positions, which blocks cannot write independently",
        "morphology.area_opening, area_closing, diameter_opening or diameter_closing, which build it themselves",
    ),
    # ndimage
    ("ndimage.generic_filter ndimage.generic_filter1d ndimage.vectorized_filter", _FUNCTION, _OWN),
    ("ndimage.generic_laplace", _FUNCTION, "ndimage.laplace or ndimage.gaussian_laplace"),
    ("ndimage.generic_gradient_magnitude", _FUNCTION, "ndimage.gaussian_gradient_magnitude or filters.sobel"),
    (
        "ndimage.geometric_transform",
        _FUNCTION,
        "ndimage.map_coordinates with the coordinates, or ndimage.affine_transform",
    ),
    (
        "ndimage.labeled_comprehension",
        "it passes the pixels of a label in the order that its sort of the whole image happens to give",
        f"ndimage.mean and others by label, or {_TABLE} with extra_properties",
    ),
    (
        "ndimage.distance_transform_bf",
        "it compares each pixel with every pixel of the background",
        "ndimage.distance_transform_edt or distance_transform_cdt",
    ),
    ("ndimage.fourier_ellipsoid", _SPECTRUM, "ndimage.convolve with that kernel"),
    ("ndimage.fourier_gaussian", _SPECTRUM, "ndimage.gaussian_filter"),
    ("ndimage.fourier_shift", _SPECTRUM, "scipy.ndimage.fourier_shift on the whole image"),
    ("ndimage.fourier_uniform", _SPECTRUM, "ndimage.uniform_filter"),
    ("ndimage.watershed_ift", "it floods the whole image from all markers at once", "segmentation.watershed"),
    ("ndimage.find_objects ndimage.value_indices", _OBJECTS, f"{_TABLE} with properties=('label', 'bbox')"),
    (
        "ndimage.extrema ndimage.minimum_position ndimage.maximum_position",
        "of equal pixels, it returns the one that its sort of the whole image happens to put first",
        "ndimage.minimum and maximum for the values",
    ),
    # numpy
    (
        "numpy.cov",
        "it multiplies matrices, which adds up floats in an order that depends on their shape",
        "numpy.var for one image, or numpy.cov of a computed array",
    ),
    # registration
    (
        "registration.optical_flow_ilk registration.optical_flow_tvl1",
        "it solves for the motion of all pixels together, at several scales of the whole image",
        "registration.phase_cross_correlation for a shift, or scikit-image on a crop: image[a:b, c:d]",
    ),
    # restoration
    ("restoration.calibrate_denoiser", _FUNCTION, "scikit-image on a crop, and the parameters that it finds"),
    ("restoration.cycle_spin", _FUNCTION, "a denoiser such as restoration.denoise_tv_chambolle, on shifted images"),
    ("restoration.denoise_invariant", _FUNCTION, "a denoiser such as restoration.denoise_tv_chambolle"),
    ("restoration.denoise_wavelet", _WAVELETS, "restoration.denoise_tv_chambolle or denoise_nl_means"),
    ("restoration.estimate_sigma", _WAVELETS, "scikit-image on a part of the image"),
    (
        "restoration.unsupervised_wiener",
        "it samples the spectrum of the whole image at random, and also returns the chains of its parameters",
        "restoration.wiener or richardson_lucy",
    ),
    # segmentation
    (
        "segmentation.active_contour",
        "it moves a line over the whole image and returns the line, not an image",
        "segmentation.morphological_geodesic_active_contour, or compute it on the whole image",
    ),
    # transform
    ("transform.frt2 transform.ifrt2 transform.iradon transform.iradon_sart transform.radon", _LINES, _WHOLE),
    (
        "transform.hough_circle transform.hough_ellipse transform.hough_line transform.probabilistic_hough_line",
        _VOTES,
        _WHOLE,
    ),
    # util
    (
        "util.apply_parallel",
        "it takes any function and pads the image's true border, which changes pixels there",
        "the function itself from this catalogue, which runs in blocks",
    ),
    ("util.montage", "its result is a sheet of many images", "numpy.stack"),
    (
        "util.random_noise",
        "its random numbers are one sequence over the whole image, which a block cannot begin in the middle",
        "numpy.random.default_rng(seed) to store an image of noise, and add that",
    ),
    ("util.slice_along_axes", "a lazy image has slices of its own", "image[a:b, c:d]"),
    ("util.unique_rows", "it compares rows of the whole image", "numpy.unique(…, axis=0) of the computed image"),
    ("util.view_as_blocks", _WINDOWS, "transform.downscale_local_mean for means of blocks"),
    ("util.view_as_windows", _WINDOWS, "a filter with that window, such as ndimage.percentile_filter"),
)
"""Names, the reason, and what to use instead."""

ENTRIES = tuple(
    Refused(name, reason=reason, instead=instead) for names, reason, instead in _REFUSED for name in names.split()
)
